"""The table of all verbs: the forms of each verb, its arguments, and the function that runs it.

A form names two things: the dataclass that declares its arguments (see `config.words`), and the
function that is called with them. A verb's modules are imported only when the verb is called or
its help is printed.

A new verb is one file here that defines `VERB`: see CONTRIBUTING.md.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple

from mssr_rl.errors import UserError


class Form(NamedTuple):
    """One way to call a verb, with its own set of required arguments."""

    says: str  # one line of help
    # "module:Class:function": the dataclass that declares the arguments, and the function that gets
    # the arguments and returns an exit code, a text or None.
    place: str
    examples: tuple[str, ...]
    everyday: tuple[str, ...] = ()  # config keys in its help; empty: it takes no config keys

    def declaration(self) -> Any:
        """Import and return the dataclass that declares the arguments."""
        module, declaration, _ = self.place.split(":")
        return getattr(import_module(module), declaration)

    def main(self) -> Callable[[Sequence[str]], int | str | None]:
        """Import and return the function that runs this form."""
        module, _, name = self.place.split(":")
        function: Callable[[Sequence[str]], int | str | None] = getattr(import_module(module), name)
        return function


class Verb(NamedTuple):
    """One command of the program, such as `train`."""

    says: str  # one line of help
    forms: tuple[Form, ...]
    keeps: bool = False  # True: results are kept in a folder, standard output only repeats them


RUN_KEYS = (
    *("algo", "env", "recipe", "model", "engine", "seed", "name", "resume", "plugins"),
    *("budget.rollouts", "train.rollouts_per_step", "train.samples_per_update", "train.lr"),
    *("rollout.group_size", "rollout.temperature", "eval.every", "checkpoint.every", "env.data"),
)

_TABLE: Mapping[str, Verb] = {
    "train": Verb(
        "train one policy; --plan prints what would be done, and starts nothing",
        (
            Form(
                "train one policy, evaluate it, and write a report",
                "mssr_rl.verbs.of_runs:TrainWords:train",
                (
                    "train algo=mssr env=vision_r1",
                    "train algo=grpo env=vision_r1 train.lr=2e-4 budget.rollouts=7680 --plan",
                    "train name=first resume=true",
                ),
                RUN_KEYS,
            ),
        ),
        keeps=True,
    ),
    "compare": Verb(
        "train several algorithms with the same budget, and decide which is better",
        (
            Form(
                "train every arm with every seed, and write one report with the verdict",
                "mssr_rl.sweep.compare_verb:Settings:compare_algorithms",
                (
                    "compare algo=grpo,rloo,mssr env=vision_r1 seeds=5",
                    "compare algo=mssr algo.gamma=0.4,2.0 env=vision_r1 --plan",
                    "compare algo=mssr ablate=all env=vision_r1 recipe=quick seeds=2",
                ),
                RUN_KEYS[:5],
            ),
        ),
        keeps=True,
    ),
    "eval": Verb(
        "score a model or a checkpoint on one or more environments",
        (
            Form(
                "compare two folders of results, question by question",
                "mssr_rl.run.evaluate_words:PairWords:compare_results",
                ("eval compare=runs/eval_a,runs/eval_b",),
            ),
            Form(
                "score a model or a checkpoint, greedy and sampled",
                "mssr_rl.run.evaluate_words:ScoreWords:evaluate_models",
                (
                    "eval model.path=runs/first env=vision_r1",
                    "eval model=tiny env=mathverse,mathvista,mmk12 split=test",
                    "eval model=tiny env=mathvista judge=http://127.0.0.1:8000/v1",
                ),
                (
                    *("env", "model", "model.path", "engine"),
                    *("recipe", "name", "plugins", "eval.samples"),
                ),
            ),
        ),
        keeps=True,
    ),
    "grade": Verb(
        "grade the responses of a .jsonl file",
        (
            Form(
                "grade every line of a file",
                "mssr_rl.grade:GradeWords:grade_file",
                (
                    "grade responses.jsonl",
                    "grade responses.jsonl.gz env=mathvista",
                    "grade responses.jsonl against=math-verify export=differences.html",
                ),
            ),
        ),
    ),
    "lens": Verb(
        "compare the advantages that several algorithms give to the same rollouts",
        (
            Form(
                "use the newest recorded batch of a run, and write lens.html into its folder",
                "mssr_rl.lens.lens_verb:LensRunWords:look_at_run",
                ("lens run=runs/first algo=grpo,mssr", "lens run=runs/first step=30"),
            ),
            Form(
                "use recorded batches from a file, one training step a line",
                "mssr_rl.lens.lens_verb:LensFileWords:look_at_file",
                (
                    "lens batches.jsonl algo=mssr algo.gamma=2.0",
                    "lens batches.jsonl algo=grpo,mvsr",
                ),
            ),
        ),
    ),
    "check": Verb(
        "test an algorithm (algo=), a reward and its data (env=) or a model (model=)",
        (
            Form(
                "search for wrong answers that get a reward, and for faults in the data",
                "mssr_rl.check_env.check_env_verb:EnvironmentWords:check_environment",
                (
                    "check env=vision_r1 env.data=FOLDER",
                    "check env=mine plugins=[mine] against=mathverse,mathvista",
                    "check env=vision_r1 max_prompt_tokens=512 model.path=tiny",
                ),
            ),
            Form(
                "test the laws that every algorithm must keep",
                "mssr_rl.check_algo.check_algo_verb:AlgorithmWords:check_algorithm",
                ("check algo=mssr algo.gamma=2.0", "check algo=mine plugins=[mine]"),
            ),
            Form(
                "test that a model folder loads, and that it computes what training expects",
                "mssr_rl.check_model:ModelWords:check_model_folder",
                ("check model=tiny",),
            ),
        ),
    ),
    "new": Verb(
        "write a new environment and its test",
        (
            Form(
                "write NAME.py and test_NAME.py into this folder",
                "mssr_rl.scaffold:NewWords:write_starter",
                ("new env=mine",),
            ),
        ),
    ),
    "export": Verb(
        "write an environment's reward for another trainer",
        (
            Form(
                "write NAME_TRAINER.py into this folder",
                "mssr_rl.exporters:ExportWords:export_environment",
                ("export env=vision_r1 to=trl", "export env=mathvista to=verl split=test"),
            ),
        ),
    ),
    "report": Verb(
        "write a report again (run=FOLDER), or recompute and check one (verify=FOLDER)",
        (
            Form(
                "write the report of a run or of a comparison again",
                "mssr_rl.verbs.of_runs:ReportWords:report",
                ("report run=runs/first", "report run=comparisons/NAME"),
            ),
            Form(
                "recompute the report of a comparison from its raw files, and name differences",
                "mssr_rl.comparison.verify_report:VerifyWords:verify_comparison",
                ("report verify=comparisons/NAME", "report verify=comparisons/NAME deep=true"),
            ),
        ),
    ),
    "import": Verb(
        "draw the curves of another trainer's run beside those of a comparison",
        (
            Form(
                "read a log of EasyR1, verl, TRL, TensorBoard or a csv file; no verdict uses it",
                "mssr_rl.imports.import_verb:ImportWords:import_run",
                (
                    "import experiment_log.jsonl comparison=comparisons/two rollouts_per_step=2560",
                    "import trainer_state.json comparison=comparisons/two rollouts_per_step=64",
                ),
            ),
        ),
    ),
    "doctor": Verb(
        "report what this machine can run, and which package versions do not fit",
        (Form("examine this machine", "mssr_rl.doctor:DoctorWords:diagnose", ("doctor",)),),
    ),
    "completion": Verb(
        "print a script that completes verbs, keys and values in the shell",
        (
            Form(
                "print the script; source <(mssr_rl completion bash) in ~/.bashrc loads it",
                "mssr_rl.completion:CompletionWords:print_script",
                ("completion bash", "completion zsh"),
            ),
        ),
    ),
    "status": Verb(
        "show the state of every run",
        (
            Form(
                "print one line for every run, read from the run's own files",
                "mssr_rl.verbs.of_runs:StatusWords:status",
                ("status", "status runs_dir=comparisons"),
            ),
        ),
    ),
    "resume": Verb(
        "prove that a run resumes bit for bit",
        (
            Form(
                "repeat the steps between two checkpoints in a copy, and compare every byte",
                "mssr_rl.verbs.of_runs:ResumeWords:resume",
                ("resume verify=runs/first",),
            ),
        ),
    ),
    "replay": Verb(
        "repeat a failed step, and show where its numbers stop being finite",
        (
            Form(
                "repeat a step that met NaN or infinity",
                "mssr_rl.verbs.of_runs:ReplayWords:replay",
                ("replay run=runs/first",),
            ),
        ),
    ),
}


def _of_files() -> dict[str, Verb]:
    """Return the verbs that have a file of their own in this folder; the file's name is the verb.

    These files are imported at every start, to read `VERB`. So they import what they need inside
    their function. Files that begin with `of_` hold functions of the table above.
    """
    names = (module.name for module in iter_modules(__path__))
    own = [name for name in names if not name.startswith("of_")]
    return {name: import_module(f"{__name__}.{name}").VERB for name in own}


VERBS: Mapping[str, Verb] = {**_TABLE, **_of_files()}


def form_of(verb: str, arguments: Iterable[str]) -> Form:
    """Return the first form of a verb whose required arguments are all given.

    Raises UserError if no form fits; the message lists what each form requires.
    """
    from mssr_rl.config.words import FILE, declared

    keys = {word.partition("=")[0] for word in arguments if "=" in word}
    keys |= {FILE for word in arguments if "=" not in word}
    wanted = []
    for form in VERBS[verb].forms:
        needed = [word for word in declared(form.declaration()) if word.needed]
        if {word.name for word in needed} <= keys:
            return form
        wanted.append(" ".join(word.label for word in needed))
    example = VERBS[verb].forms[0].examples[0]
    raise UserError(f"{verb} takes {', or '.join(wanted)}; e.g. {example}")


def switches(verb: str) -> set[str]:
    """Return the names of a verb's true/false arguments; `--plan` means `plan=true` for these."""
    from mssr_rl.config.keys import fixed_kinds
    from mssr_rl.config.words import declared

    forms = VERBS[verb].forms
    own = {w.name for form in forms for w in declared(form.declaration()) if w.kind is bool}
    takes_keys = any(form.everyday for form in forms)
    return own | {key for key, kind in fixed_kinds().items() if takes_keys and kind is bool}
