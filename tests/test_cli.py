"""Verbs, flags and exit codes; what is printed where."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from mssr_rl import __version__, cli
from mssr_rl.algos import algorithms
from mssr_rl.config.compose import from_dict, load
from mssr_rl.config.keys import fixed_kinds
from mssr_rl.config.words import FILE, declared, parse_words
from mssr_rl.envs import environments
from mssr_rl.errors import Collapsed, RunFailed, UserError
from mssr_rl.registry import Registry
from mssr_rl.run.interrupt import Interrupted
from mssr_rl.verbs import VERBS, form_of, of_runs

Captured = pytest.CaptureFixture[str]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mssr_rl", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def complaint(captured: Captured, *words: str) -> str:
    """The one line on stderr of a call that is refused."""
    assert cli.main(words) == cli.USAGE
    out, err = captured.readouterr()
    assert out == ""
    assert err.startswith("mssr_rl: ")
    assert err.count("\n") == 1
    return err.removeprefix("mssr_rl: ").rstrip()


# ---- refusals ----


def test_a_typo_costs_one_line_and_no_traceback() -> None:
    done = run("train", "sed=1")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "mssr_rl: unknown key sed; did you mean seed?\n"


@pytest.mark.parametrize("word", ["sed=1", "seed=abc", "budget.rollouts=-5", "env=vison_r1"])
def test_a_typo_is_found_before_torch_is_imported(word: str) -> None:
    script = (
        f"import sys; from mssr_rl.cli import main; print(main(['train', '{word}']), *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    code, *modules = done.stdout.split()
    assert code == "2"
    assert "torch" not in modules


def test_an_unknown_verb_is_corrected(capsys: Captured) -> None:
    assert complaint(capsys, "trian") == "no verb 'trian'; did you mean train?"
    assert complaint(capsys, "xyz") == f"no verb 'xyz'; choose from {', '.join(VERBS)}"


def test_words_without_a_verb_are_told_where_to_go(capsys: Captured) -> None:
    said = complaint(capsys, "algo=mssr")
    verbs = ", ".join(VERBS)
    assert said == f"name a verb before algo=mssr: {verbs}; e.g. train algo=mssr"


def test_words_with_dashes_are_understood(capsys: Captured) -> None:
    """As other programs are called: --key value, --key=value, and --flag alone."""
    forms = (
        ["train", "algo=grpo", "env.limit=8", "seed=5", "plan=true"],
        ["train", "--algo", "grpo", "--env.limit", "8", "--seed", "5", "--plan"],
        ["--plan", "train", "--algo=grpo", "--env.limit=8", "--seed=5"],
    )
    said = []
    for words in forms:
        assert cli.main(words) == cli.DONE
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] == said[2]
    assert "algorithm    grpo" in said[0]


def test_a_flag_of_another_program_is_translated(capsys: Captured) -> None:
    said = complaint(capsys, "train", "--num_generations", "8")
    assert said == "unknown key num_generations; did you mean rollout.group_size?"
    assert complaint(capsys, "train", "--seed") == "seed=true is not a whole number"


def test_a_word_is_for_the_verbs_that_declare_it(capsys: Captured) -> None:
    assert "unknown argument plan" in complaint(capsys, "grade", "x.jsonl", "--plan")
    assert "cfg=all is not one of job" in complaint(capsys, "train", "--cfg", "all")


def test_a_verb_without_its_words_says_what_it_takes(capsys: Captured) -> None:
    wanted = "report takes run=..., or verify=...; e.g. report run=runs/first"
    assert complaint(capsys, "report") == wanted
    assert complaint(capsys, "report", "seed=1") == wanted
    assert "unknown argument seed" in complaint(capsys, "report", "run=a", "seed=1")


def test_resume_and_replay_want_a_run_and_may_be_given_plugins(
    capsys: Captured, tmp_path: Path
) -> None:
    for verb, key in (("resume", "verify"), ("replay", "run")):
        assert f"{verb} takes {key}=..." in complaint(capsys, verb, "seed=1")
        said = complaint(capsys, verb, f"{key}={tmp_path}", "seed=1")
        assert "known here: plugins, engine, cluster.address" in said
    assert "is not a run directory" in complaint(capsys, "resume", f"verify={tmp_path}")
    assert "keeps no step that broke" in complaint(
        capsys, "replay", f"run={tmp_path}", "plugins=[a]"
    )


# ---- exit codes ----


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("a"), 2),
        (RunFailed("a"), 1),
        (Collapsed("a"), 3),
        (Interrupted("a", 2), 130),
        (Interrupted("a", 15), 0),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_end_has_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(_: object) -> None:
        raise error

    monkeypatch.setattr(of_runs, "train", end)
    assert cli.main(["train"]) == code


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(of_runs, "train", end)
    with pytest.raises(ZeroDivisionError):
        cli.main(["train"])


# ---- what is printed ----


def test_the_version_is_printed(capsys: Captured) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mssr_rl {__version__}\n"


def helped(captured: Captured, *words: str) -> str:
    assert cli.main(words) == cli.DONE
    return captured.readouterr().out


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_verbs_algorithms_and_environments(words: list[str], capsys: Captured) -> None:
    said = helped(capsys, *words)
    assert {*algorithms.names(), *environments.names(), *VERBS} <= set(said.split())


@pytest.mark.parametrize(("group", "known"), [("algo", algorithms), ("env", environments)])
def test_help_of_a_group_says_what_each_of_its_names_does(
    group: str, known: Registry[Any], capsys: Captured
) -> None:
    said = helped(capsys, "--help", group)
    for name in known.names():
        assert re.search(rf"^  {name} +{re.escape(known.about(name))}$", said, re.MULTILINE)


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_help_fits_a_screen_and_shows_examples(verb: str | None, capsys: Captured) -> None:
    said = helped(capsys, *([verb] if verb else []), "--help")
    assert said.count("\n") < 60
    assert f"mssr_rl {verb or 'train'}" in said
    assert "--help KEY" in said


@pytest.mark.parametrize("verb", VERBS)
def test_every_word_of_a_verb_stands_in_its_help_and_is_explained(
    verb: str, capsys: Captured
) -> None:
    said = helped(capsys, verb, "--help")
    for form in VERBS[verb].forms:
        for word in declared(form.declaration()):
            assert (word.label if word.role == FILE else word.name) in said
            assert word.doc
            if word.role is None:
                assert f"{verb} {word.name}: {word.doc}" in helped(
                    capsys, verb, "--help", word.name
                )


@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_of_help_are_words_that_their_verb_takes(verb: str) -> None:
    for form in VERBS[verb].forms:
        for example in form.examples:
            first, *told = example.split()
            words = list(cli.without_dashes(verb, told))
            assert first == verb
            assert form_of(verb, words) == form
            parse_words(form.declaration(), words)


def test_help_lists_every_key_of_a_run_and_explains_each(capsys: Captured) -> None:
    said = helped(capsys, "train", "--help", "keys")
    first_words = {line.split()[0].partition("=")[0] for line in said.splitlines() if line.strip()}
    assert set(fixed_kinds()) <= first_words
    one = helped(capsys, "--help", "train.lr")
    assert one.splitlines() == [
        "train.lr: AdamW's learning rate, constant",
        "  a number, above 0, 0.0001 in recipe=laptop",
    ]
    assert "algo.gamma of algo=mssr:" in helped(capsys, "--help", "algo.gamma")
    assert "train.lr" in helped(capsys, "--help", "learning_rate")
    assert complaint(capsys, "--help", "train.lrr") == "no key train.lrr; did you mean train.lr?"


def test_help_explains_a_metric_and_suggests_one(capsys: Captured) -> None:
    said = helped(capsys, "--help", "actor/kl_step")
    assert "KL of the policy before a step" in said
    assert "in metrics.jsonl, nats per token" in said
    wrong = complaint(capsys, "--help", "actor/entropi")
    assert wrong == "no key actor/entropi; did you mean actor/entropy?"


def test_every_registered_name_has_a_line_of_help() -> None:
    assert all(algorithms.about(name) for name in algorithms.names())
    assert all(environments.about(name) for name in environments.names())


def test_help_shows_the_options_of_the_algorithm_asked_about(capsys: Captured) -> None:
    said = helped(capsys, "--help", "algo=grpo")
    assert "algo.std=sample" in said
    assert "algo.gamma" not in said


def test_cfg_job_prints_the_config_as_yaml_under_the_plan(capsys: Captured) -> None:
    assert cli.main(["train", "--cfg", "job", "algo=grpo", "env.limit=8"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("# algorithm ")
    plain = OmegaConf.to_container(OmegaConf.create(said))
    assert isinstance(plain, dict)
    read_back = from_dict({str(key): value for key, value in plain.items()})
    assert read_back == load(["algo=grpo", "env.limit=8"])


def test_the_plan_goes_to_stdout_and_starts_nothing(tmp_path: Path, capsys: Captured) -> None:
    words = ["train", "env.limit=8", "--plan", f"runs_dir={tmp_path / 'runs'}"]
    assert cli.main(words) == 0
    assert "nothing was started" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_flags_may_stand_anywhere(capsys: Captured) -> None:
    for words in (["--plan", "train", "env.limit=8"], ["train", "--plan", "env.limit=8"]):
        assert cli.main(words) == 0
        assert "120 steps" in capsys.readouterr().out


def test_grade_passes_its_file_on(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "responses.jsonl"
    row = {"id": "a", "response": "<think>so</think>\\boxed{4}", "answer": "4"}
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert cli.main(["grade", str(file)]) == 0
    graded = json.loads(capsys.readouterr().out)
    assert graded == {"id": "a", "reward": 1, "extracted": "4", "reason": "correct"}


def test_threads_that_wait_do_not_spin_unless_the_user_wants_them_to() -> None:
    show = "import os; import mssr_rl.cli; print(os.environ['OMP_WAIT_POLICY'])"
    for before, after in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        env = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
        env |= {} if before is None else {"OMP_WAIT_POLICY": before}
        done = subprocess.run(
            [sys.executable, "-c", show], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == after
