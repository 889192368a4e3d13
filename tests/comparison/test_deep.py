"""The final weights answer the test split again: the same answers, or who is not who they say."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mssr_rl import cli
from mssr_rl.comparison import comparison_page, deep
from mssr_rl.comparison.deep import Again, compared
from mssr_rl.comparison.evidence import read_evidence
from mssr_rl.comparison.verify_report import VerifyWords, verify, verify_comparison
from mssr_rl.config.words import parse_words
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.run import checkpoint, provenance

N, K = 400, 4


def row(right: Mapping[int, int] | None = None, sampled: int = 2) -> dict[str, Any]:
    """Every second problem right, but for what `right` says; `sampled` of K right each."""
    greedy = {f"p{i}": i % 2 for i in range(N)} | {f"p{i}": won for i, won in (right or {}).items()}
    return {
        "per_problem": greedy,
        "per_problem_sampled": dict.fromkeys(greedy, sampled),
        "samples": K,
    }


def again(now: dict[str, Any], text: str = "4") -> Again:
    return Again(row(), now, {"p0": "4"}, {"p0": text})


SAME = again(row())
ONE = again(row({0: 1}))
BOTH_WAYS = again(row({0: 1, 2: 1, 4: 1, 1: 0, 3: 0}))
ONE_WAY = again(row(dict.fromkeys(range(0, 24, 2), 1)))  # 12 won, none lost: odds of 1 in 2,048
TOO_MANY = again(row({i: 1 - i % 2 for i in range(21)}))  # 5.25 % of 400
REWORDED = again(row(), text="four")
DRAWN_BETTER = again(row(sampled=3))


def test_the_same_answers_are_the_same() -> None:
    assert compared(SAME, exact=True) == (
        "",
        "answers all 400 problems as before, greedy and sampled",
    )


@pytest.mark.parametrize("found", [ONE, BOTH_WAYS, REWORDED, DRAWN_BETTER])
def test_with_the_same_arithmetic_no_answer_may_turn(found: Again) -> None:
    fault, said = compared(found, exact=True)
    assert "do not answer test as recorded" in fault
    assert not said


@pytest.mark.parametrize("found", [ONE, BOTH_WAYS, REWORDED])
def test_another_arithmetic_may_turn_a_few_both_ways(found: Again) -> None:
    fault, said = compared(found, exact=False)
    assert not fault
    assert "as before up to rounding, with another arithmetic" in said


@pytest.mark.parametrize("found", [ONE_WAY, TOO_MANY, DRAWN_BETTER])
def test_no_rounding_turns_many_or_all_one_way(found: Again) -> None:
    fault, _ = compared(found, exact=False)
    assert "beyond rounding" in fault


def test_other_problems_are_no_answer() -> None:
    now = row()
    del now["per_problem"]["p7"]
    assert "other problems" in compared(again(now), exact=False)[0]


def test_the_words_of_verify_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"deep=maybe is not true or false"):
        verify_comparison([f"verify={tmp_path}", "deep=maybe"])
    with pytest.raises(UserError, match=r"unknown argument dep; did you mean deep\?"):
        verify_comparison([f"verify={tmp_path}", "dep=true"])
    asked = parse_words(VerifyWords, ["verify=x", "env.data=here", "plugins=[mine]"])
    assert asked.texts == {"env.data": "here", "plugins": "[mine]"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms, really trained, four updates each at a rate that moves the answers."""
    place = tmp_path_factory.mktemp("comparisons")
    words = (
        "algo=grpo,mssr env=vision_r1 seeds=1 recipe=quick budget.rollouts=64 train.lr=1e-3 "
        "train.rollouts_per_step=32 train.samples_per_update=16 eval.limit=12 eval.samples=2 "
        f"eval.every=0 checkpoint.every=0 jobs=1 name=one comparisons_dir={place}"
    )
    assert cli.main(["compare", *words.split()]) == cli.DONE
    return place / "one"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, and a program whose revision names it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    revision = {"revision": "r", "changed": False}
    monkeypatch.setattr(provenance, "git_revision", lambda: revision)
    return tmp_path / "cache" / "mssr_rl" / "answered"


@pytest.mark.slow
def test_trained_weights_answer_as_recorded_and_need_not_answer_twice(
    trained: Path, cache: Path, capsys: Any
) -> None:
    assert cli.main(["report", f"verify={trained}", "deep=true"]) == cli.DONE
    said = capsys.readouterr()
    for arm in ("grpo", "mssr"):
        line = f"verified     vision_r1-{arm}-s0 answers all 12 problems as before"
        assert line in said.out
    assert "whose record does not say" not in said.out  # each run named its final checkpoint
    assert "deep         2 of 2: vision_r1-mssr-s0, 12 problems of test, 3 answers each" in said.err
    assert len(list(cache.iterdir())) == 2

    def no_engine(config: Any) -> Any:
        raise AssertionError("it was asked again")

    kept = deep.check_answers(read_evidence(trained), make_engine=no_engine)
    assert (len(kept.checked), kept.faults) == (2, ())


@pytest.mark.slow
def test_weights_of_another_arm_are_found_though_every_file_agrees(
    trained: Path, tmp_path: Path, cache: Path
) -> None:
    """A forgery without a seam: the record names the other weights, and all is drawn again."""
    folder = Path(shutil.copytree(trained, tmp_path / "forged"))
    ours, theirs = (
        folder / f"runs/vision_r1-{arm}-s0/checkpoints/step_2" for arm in ("grpo", "mssr")
    )

    def fill(aside: Path) -> None:
        shutil.copytree(tmp_path / "kept", aside, dirs_exist_ok=True)
        shutil.copy(ours / "policy/model.safetensors", aside / "policy")
        (aside / "manifest.json").unlink()

    theirs.rename(tmp_path / "kept")
    checkpoint.write(theirs, fill)
    record = theirs.parents[1] / "run.json"
    seal = {"step": 2, "manifest": checkpoint.seal_of(theirs)}
    record.write_text(json.dumps({**json.loads(record.read_text()), "final_checkpoint": seal}))
    comparison_page.write(folder)
    assert "verified" in verify(folder)
    with pytest.raises(RunFailed, match=r"mssr-s0: its final weights do not answer test as record"):
        verify(folder, deeply=True)
