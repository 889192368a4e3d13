"""The command line: a verb, `key=value` words, an exit code.

argparse reads the verb and the few flags; what has an equals sign is `compose`'s. Modules are
imported once their verb is known, so a typo costs a second. stdout is for data, stderr for talk.
"""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from mssr_rl import __version__, outward, stdio
from mssr_rl.errors import Collapsed, RunFailed, UserError
from mssr_rl.run.interrupt import Interrupted

# Read by OpenMP when torch is loaded. Threads that spin while they wait make two of them on a busy
# machine twenty times slower than one; EXPERIMENTS.md has the figures.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Read by torch at its first allocation: large tensors get large pages. Where fresh pages are slow
# a step took a fifth less time; EXPERIMENTS.md has the figures.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

DONE, FAILED, USAGE, COLLAPSED, INTERRUPTED = 0, 1, 2, 3, 130


class Verb(NamedTuple):
    """One thing the program does."""

    says: str
    run: Callable[[Namespace], int]
    keeps: bool = False  # what it makes in a folder; standard output says it once more


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the words say; the exit code of contract A."""
    try:
        return _dispatch(_parser().parse_known_intermixed_args(arguments))
    except UserError as error:
        return _complain(error, USAGE)
    except Collapsed as error:
        return _complain(error, COLLAPSED)
    except Interrupted as stop:
        return _complain(stop, stop.exit_code)  # before KeyboardInterrupt, of which it is one
    except RunFailed as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED


def script(arguments: Sequence[str] | None = None) -> NoReturn:
    """The `mssr_rl` command of an installed package: `main` as a process of its own."""
    stdio.secure()
    code = main(arguments)
    sys.stdout.flush()  # here and not when Python ends, which would complain of a lost reader
    raise SystemExit(code)


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see --help")


def _parser() -> ArgumentParser:
    parser = _Parser(prog="mssr_rl", add_help=False, allow_abbrev=False)
    parser.add_argument("verb", nargs="?")
    parser.add_argument("words", nargs="*")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--cfg", choices=["job"])
    return parser


def _dispatch(parsed: tuple[Namespace, list[str]]) -> int:
    given, leftover = parsed
    if given.version:
        return _say(f"mssr_rl {__version__}")
    if given.help or (given.verb is None and not leftover):
        from mssr_rl import helptext

        return _say(helptext.page({name: verb.says for name, verb in VERBS.items()}, given.words))
    if given.verb not in VERBS:
        raise UserError(_unknown_verb(given.verb or leftover[0]))
    if given.plan and given.verb not in ("train", "compare"):
        raise UserError(f"--plan shows what train or compare would do; {given.verb} has no plan")
    if given.cfg and given.verb != "train":
        raise UserError(f"--cfg shows what train would do; {given.verb} has no one config")
    given.words += leftover  # whoever reads the words says why they are wrong
    verb = VERBS[given.verb]
    if verb.keeps and not given.plan and not given.cfg:
        stdio.output_is_not_all()
    return verb.run(given)


def _train(given: Namespace) -> int:
    from mssr_rl.config.compose import load, to_yaml
    from mssr_rl.config.engines import refuse_lost_updates

    config = load(given.words)
    if given.plan or given.cfg:
        refuse_lost_updates(config)
        from mssr_rl.planning import plan

        lines = plan.words(config)
        if given.cfg:
            return _say("\n".join(f"# {line}" for line in lines) + f"\n{to_yaml(config)}")
        return _say("\n".join(lines))
    from mssr_rl.run.trainer import train

    train(config)
    return DONE


def _compare(given: Namespace) -> int:
    from mssr_rl.compare import command

    return _say(command.plan(given.words) if given.plan else command.compare(given.words))


def _eval(given: Namespace) -> int:
    from mssr_rl.run.evaluate import main as evaluate

    evaluate(given.words)
    return DONE


def _grade(given: Namespace) -> int:
    from mssr_rl.grade import main as grade

    return grade(given.words)


def _doctor(given: Namespace) -> int:
    from mssr_rl import doctor

    if given.words:
        raise UserError("doctor takes no words: it looks at this machine")
    return _say("\n".join(doctor.words()))


def _report(given: Namespace) -> int:
    from mssr_rl.config.overrides import parse

    words = parse(given.words)
    if set(words) == {"verify"}:
        from mssr_rl.comparison.verify import verify

        return _say(verify(Path(words["verify"])))
    if set(words) != {"run"}:
        raise UserError(
            "report takes run=FOLDER, e.g. report run=runs/NAME, to write a report again, or "
            "verify=FOLDER to check that of a comparison"
        )
    return _say(str(_write_report(Path(words["run"]))))


def _import(given: Namespace) -> int:
    from mssr_rl.imports.command import main as bring

    return _say(bring(given.words))


def _write_report(folder: Path) -> Path:
    if (folder / "compare.json").exists():
        from mssr_rl.comparison.page import write as write_comparison

        return write_comparison(folder).page
    from mssr_rl.report.page import write

    return write(folder)


def _run_words(given: Namespace, key: str) -> dict[str, str]:
    """The words of a verb that takes a run folder, and what of its config may run code."""
    from mssr_rl.config.overrides import parse

    words, verb = parse(given.words), given.verb
    if key not in words or set(words) - {key, "plugins", "engine", "cluster.address"}:
        raise UserError(
            f"{verb} takes {key}=FOLDER, e.g. {verb} {key}=runs/NAME, and plugins=[...], "
            "engine=NAME and cluster.address=PLACE where the run had them"
        )
    return words


def _replay(given: Namespace) -> int:
    words = _run_words(given, "run")
    from mssr_rl.run.replay import main as replay

    for line in replay(Path(words["run"]), words):
        _say(line)
    return DONE


def _resume(given: Namespace) -> int:
    words = _run_words(given, "verify")
    from mssr_rl.run.verify import main as verify

    return _say(verify(Path(words["verify"]), words))


def _status(given: Namespace) -> int:
    from mssr_rl.config.overrides import parse
    from mssr_rl.run.status import main as status

    words = parse(given.words)
    if set(words) - {"runs_dir"}:
        raise UserError("status takes runs_dir=FOLDER, or nothing for runs and comparisons")
    folders = [words["runs_dir"]] if words else ["runs", "comparisons"]
    lines = status([Path(folder) for folder in folders])
    return _say("\n".join(map(outward.plain, lines)))


def _lens(given: Namespace) -> int:
    from mssr_rl.lens.command import main as lens

    return lens(given.words)


def _check(given: Namespace) -> int:
    if any(word.startswith("env=") for word in given.words):
        from mssr_rl.check_env.verb import main as check_env

        return check_env(given.words)
    from mssr_rl.conformance.command import main as check

    return check(given.words)


def _new(given: Namespace) -> int:
    from mssr_rl.scaffold import main as new

    return new(given.words)


def _export(given: Namespace) -> int:
    from mssr_rl.exporters import main as export

    return export(given.words)


VERBS: Mapping[str, Verb] = {
    "train": Verb("train one policy; --plan says in words what would be done", _train, keeps=True),
    "compare": Verb(
        "algo=a,b seeds=K: train all, same budget, and say which is better", _compare, keeps=True
    ),
    "eval": Verb("score a model or a checkpoint", _eval, keeps=True),
    "grade": Verb("grade responses in a .jsonl file", _grade),
    "lens": Verb("what algorithms make of the same rollouts: FILE.jsonl or run=FOLDER", _lens),
    "check": Verb(
        "hold an algorithm (algo=NAME) or a reward and its data (env=NAME) to laws", _check
    ),
    "new": Verb("write a new environment and its test: env=NAME", _new),
    "export": Verb("an environment's reward for another trainer: env=NAME to=trl", _export),
    "report": Verb("run=FOLDER: write a report again; verify=FOLDER: recompute it", _report),
    "import": Verb("FILE comparison=FOLDER: another trainer's run beside a comparison's", _import),
    "doctor": Verb("say what this machine can run, and which versions do not fit", _doctor),
    "status": Verb("what every run here is doing: runs_dir=FOLDER", _status),
    "resume": Verb("prove that a run resumes bit for bit: verify=FOLDER", _resume),
    "replay": Verb("do a step again in which a number was no number: run=FOLDER", _replay),
}


def _unknown_verb(word: str) -> str:
    from mssr_rl.typed import closest

    if "=" in word or word.startswith("-"):
        return f"say first what to do with {word}: {', '.join(VERBS)}; e.g. train {word}"
    close = closest(word, VERBS)
    advice = f"did you mean {close}?" if close else f"choose from {', '.join(VERBS)}"
    return f"cannot {word!r}; {advice}"


def _say(text: str) -> int:
    sys.stdout.write(f"{outward.plain(text)}\n")
    return DONE


def _complain(error: BaseException, code: int) -> int:
    sys.stderr.write(f"mssr_rl: {outward.plain(str(error))}\n")
    return code
