"""Other trainers' records, in the forms they write them, beside a comparison's own curves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.comparison.verify_report import verify
from mssr_rl.errors import UserError
from mssr_rl.imports import naming, readers
from mssr_rl.imports.import_verb import import_run

Make = Callable[..., Path]
STEPS = range(1, 21)


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def easyr1(folder: Path) -> Path:
    """Nested by the slashes of its names; validation in lines of its own."""
    rows: list[dict[str, Any]] = []
    for step in STEPS:
        if step % 5 == 0:
            rows.append({"step": step, "val": {"accuracy_reward": 0.4 + step / 100}})
        actor = {"entropy_loss": 0.5 - step / 100, "kl_loss": 0.001 * step, "grad_norm": 1.0}
        reward = {"overall": 0.3 + step / 50, "format": 1.0}
        rows.append({"step": step, "actor": actor, "reward": reward})
    return lines(folder / "experiment_log.jsonl", rows)


def verl(folder: Path) -> Path:
    rows = [
        {
            "step": step,
            "data": {
                "critic/rewards/mean": 0.3 + step / 50,
                "val-core/geo3k/acc/mean@1": 0.4 + step / 100,
                "response_length/mean": 200.0 + step,
                "training/global_step": step,
            },
        }
        for step in STEPS
    ]
    return lines(folder / "verl.jsonl", rows)


def trl(folder: Path) -> Path:
    history = [
        {"step": step, "reward": 0.3 + step / 50, "kl": 0.01, "completions/mean_length": 180.0}
        for step in STEPS
    ]
    history.append({"step": 20, "eval_reward": 0.6})
    path = folder / "trainer_state.json"
    path.write_text(json.dumps({"global_step": 20, "log_history": history}))
    return path


def csv(folder: Path) -> Path:
    """As Weights & Biases exports a panel: a step, text columns and empty cells."""
    rows = [f"{step},run-a,{0.3 + step / 50},{'' if step % 5 else 0.5}" for step in STEPS]
    path = folder / "panel.csv"
    path.write_text("\n".join(["Step,Name,reward/mean,val/accuracy", *rows]) + "\n")
    return path


def events(folder: Path) -> Path:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "events")) as writer:  # type: ignore[no-untyped-call]
        for step in STEPS:
            writer.add_scalar("train/reward", 0.3 + step / 50, step)  # type: ignore[no-untyped-call]
            writer.add_scalar("train/kl", 0.01, step)  # type: ignore[no-untyped-call]
    return folder / "events"


FORMS = (
    (easyr1, "nested json lines, as EasyR1 writes them", {"actor/entropy": "actor/entropy_loss"}),
    (verl, "json lines of verl", {"val/accuracy": "val-core/geo3k/acc/mean@1"}),
    (trl, "trainer_state.json", {"val/accuracy": "eval_reward", "actor/kl_ref": "kl"}),
    (csv, "csv", {"val/accuracy": "val/accuracy"}),
    (events, "TensorBoard events", {"actor/kl_ref": "train/kl"}),
)


@pytest.mark.parametrize(("write", "form", "taken"), FORMS, ids=[f[0].__name__ for f in FORMS])
def test_each_form_is_read_and_its_names_are_known(
    write: Callable[[Path], Path], form: str, taken: dict[str, str], tmp_path: Path
) -> None:
    found = readers.read_log(write(tmp_path))
    assert found.format == form
    assert list(found.rows) == list(STEPS)
    source = naming.chosen(found.names, {})
    assert taken.items() <= source.items()
    rewards = [numbers[source["reward/mean"]] for numbers in found.rows.values()]
    assert rewards == pytest.approx([0.3 + step / 50 for step in STEPS])


def test_an_imported_run_is_in_the_report_and_not_in_the_verdict(
    make_comparison: Make, tmp_path: Path
) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.55})
    said = import_run([str(easyr1(tmp_path)), f"comparison={folder}", "name=GRPO, EasyR1 <b>",
                 "rollouts_per_step=64"])  # fmt: skip
    assert "reward/overall as reward/mean" in said
    found = json.loads((folder / "report.json").read_text())
    (other,) = found["imported"]
    assert other["name"] == "GRPO, EasyR1 <b>"
    assert other["last"]["val/accuracy"] == pytest.approx(0.6)
    assert {row["arm"] for row in found["envs"][0]["leaderboard"]} == {"grpo", "mssr"}
    page = (folder / "report.html").read_text()
    assert "Beside imported runs" in page
    assert "GRPO, EasyR1 &lt;b&gt;: 45.0" in page  # in the words of the accuracy's chart
    assert "EasyR1 <b>" not in page
    assert verify(folder).startswith("verified")


def test_a_changed_import_is_found_out(make_comparison: Make, tmp_path: Path) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.55})
    import_run([str(trl(tmp_path)), f"comparison={folder}", "name=theirs", "rollouts_per_step=64"])
    path = folder / "imported/theirs/metrics.jsonl"
    path.write_text(path.read_text().replace("0.32", "0.92", 1))
    with pytest.raises(Exception, match=r"imported/theirs/metrics\.jsonl was changed"):
        verify(folder)


def test_the_same_name_again_replaces_the_run(make_comparison: Make, tmp_path: Path) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.55})
    for write in (verl, csv):
        import_run(
            [str(write(tmp_path)), f"comparison={folder}", "name=theirs", "rollouts_per_step=8"]
        )
    found = json.loads((folder / "report.json").read_text())
    assert [other["file"] for other in found["imported"]] == ["panel.csv"]


def refused(make: Make, *words: str) -> str:
    folder = make({"grpo": 0.5, "mssr": 0.55})
    with pytest.raises(UserError) as caught:
        import_run([word.replace("HERE", str(folder)) for word in words])
    return str(caught.value)


def test_whatever_is_wrong_is_said(make_comparison: Make, tmp_path: Path) -> None:
    file = str(verl(tmp_path))
    here = ("comparison=HERE", "rollouts_per_step=8")
    assert "the name of a file is missing" in refused(make_comparison, *here)
    assert "rollouts_per_step= is missing: responses sampled" in refused(
        make_comparison, file, "comparison=HERE"
    )
    assert "comparison= is missing" in refused(make_comparison, file, "rollouts_per_step=8")
    nowhere = ("comparison=nowhere", "rollouts_per_step=8")
    assert "holds a compare.json" in refused(make_comparison, file, *nowhere)
    assert "does not exist" in refused(make_comparison, "no.jsonl", *here)
    unknown = refused(make_comparison, file, *here, "reward=critic/reward/mean")
    assert "did you mean critic/rewards/mean?" in unknown
    misspelt = refused(make_comparison, file, *here, "acuracy=x")
    assert "did you mean accuracy?" in misspelt
    empty = lines(tmp_path / "empty.jsonl", [{"loss": 1.0}])
    assert "holds no numbers by step" in refused(make_comparison, str(empty), *here)
    (tmp_path / "torn.jsonl").write_text('{"step": 1, "rew')
    assert "line 1 of" in refused(make_comparison, str(tmp_path / "torn.jsonl"), *here)
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    assert "is not text" in refused(make_comparison, str(tmp_path / "bytes.jsonl"), *here)
    losses = lines(tmp_path / "losses.jsonl", [{"step": 1, "loss": 1.0}])
    assert "say reward=NAME" in refused(make_comparison, str(losses), *here)


BROKEN = {
    "digits.jsonl": '{"step": 1, "reward": 1' + "0" * 400 + "}\n",
    "deep.jsonl": "[" * 100_000,
    "list.json": '{"log_history": [1]}',
    "number.json": '{"log_history": 5}',
    "wide.csv": "step,reward\n1," + "9" * 200_000 + "\n",
    "far.jsonl": '{"step": 1e300, "reward": 1.0}\n',
    "before.jsonl": '{"step": -1, "reward": 1.0}\n',
    "large.jsonl": '{"step": 1, "reward": 1e308}\n',
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_malformed_record_is_refused_and_leaves_nothing(
    make_comparison: Make, tmp_path: Path, name: str
) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.55})
    (tmp_path / name).write_text(BROKEN[name])
    with pytest.raises(UserError):
        import_run([str(tmp_path / name), f"comparison={folder}", "name=x", "rollouts_per_step=8"])
    assert not (folder / "imported").exists()


def test_a_name_that_is_taken_is_refused(make_comparison: Make, tmp_path: Path) -> None:
    file, here = str(verl(tmp_path)), ("comparison=HERE", "rollouts_per_step=8")
    assert "an arm of the comparison" in refused(make_comparison, file, *here, "name=grpo")
    assert "at most 60 characters" in refused(make_comparison, file, *here, f"name={'x' * 300}")
    folder = make_comparison({"grpo": 0.5, "mssr": 0.55})
    words = [file, f"comparison={folder}", "rollouts_per_step=8"]
    import_run([*words, "name=GRPO, x"])
    with pytest.raises(UserError, match="is too similar to the imported run 'GRPO, x'"):
        import_run([*words, "name=GRPO x"])


def test_a_line_separator_within_a_text_is_no_end_of_line(tmp_path: Path) -> None:
    row = json.dumps({"step": 1, "reward": 1.0, "note": "a\u2028b"}, ensure_ascii=False)
    (tmp_path / "lines.jsonl").write_text(row + "\n", "utf-8")
    assert readers.read_log(tmp_path / "lines.jsonl").rows == {1: {"reward": 1.0}}
