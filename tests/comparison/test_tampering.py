"""Whoever changes a comparison's folder is found out: one test a kind of tampering.

Three levels: a file is edited; the report is drawn again from an edited document by this very
program; raw files are edited and everything is drawn again from them. The folder is a small one
that release 0.1 made, drawn again by this version and given final checkpoints.
"""

import base64
import json
import re
import shutil
import tarfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.comparison import comparison_page, document, version_1
from mssr_rl.comparison.evidence import read_evidence
from mssr_rl.comparison.race import settled
from mssr_rl.comparison.verify_report import verify
from mssr_rl.errors import RunFailed
from mssr_rl.run import checkpoint

RECORDED = Path(__file__).parent / "recorded_0_1" / "two_arms.tar.xz"
GRPO, MSSR = "runs/vision_r1-grpo-s0", "runs/vision_r1-mssr-s0"


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, of the newest version and with weights that stand for checkpoints."""
    folder = tmp_path_factory.mktemp("comparisons")
    with tarfile.open(RECORDED) as archive:
        archive.extractall(folder, filter="data")
    for run in sorted((folder / "two_arms" / "runs").iterdir()):
        give_weights(run)
    comparison_page.write(folder / "two_arms")
    return folder / "two_arms"


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "comparison"))


def give_weights(run: Path) -> None:
    """A sealed checkpoint of the last step, which the run's record names."""
    rows = [row for row in lines(run / "eval.jsonl") if row["split"] == "val"]
    names = ("step", "env", "split", "n", "accuracy", "accuracy_sampled", "samples")
    scores = [{name: row[name] for name in names} for row in rows]

    def fill(aside: Path) -> None:
        (aside / "policy").mkdir()
        (aside / "policy" / "model.safetensors").write_bytes(run.name.encode() * 50)
        (aside / "state.json").write_text(json.dumps({"step": 6, "scores": scores}))

    final = run / "checkpoints" / "step_6"
    checkpoint.write(final, fill)
    edit(run / "run.json", final_checkpoint={"step": 6, "manifest": checkpoint.seal_of(final)})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Every row of a .jsonl file after `change`, which edits it in place; False drops the row."""
    rows = lines(path)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows if change(row) is not False))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def swap(path: Path, pattern: str, to: str) -> None:
    text = path.read_text()
    changed = re.sub(pattern, to, text, count=1)
    assert changed != text, pattern
    path.write_text(changed)


def named(folder: Path, **changes: Any) -> None:
    """Edits of report.json, written as this program writes it."""
    path = folder / "report.json"
    path.write_text(document.text({**json.loads(path.read_text()), **changes}))


def redrawn(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """All four files from an edited document: they agree with each other to the last byte."""
    report = json.loads((folder / "report.json").read_text())
    change(report)
    for name, content in comparison_page.contents(settled(read_evidence(folder)), report).items():
        (folder / name).write_bytes(content)


# ---- only the page, or another file that is drawn ----


def a_digit(folder: Path) -> None:
    swap(folder / "report.html", r'class="big">(\d)', r'class="big">9\1')


def a_word(folder: Path) -> None:
    swap(folder / "report.html", "inconclusive at", "better at")


def a_digit_and_a_foreign_program(folder: Path) -> None:
    a_digit(folder)
    named(folder, made_by="9.9.9")


def a_word_and_the_first_version(folder: Path) -> None:
    """All files as version 1 wrote them, and a word of its page."""
    evidence = settled(read_evidence(folder))
    report = version_1.document(evidence, json.loads((folder / "report.json").read_text()))
    (folder / "report.json").write_text(document.text(report))
    for name, content in version_1.contents(evidence, report).items():
        (folder / name).write_bytes(content)
    assert "version 1 of the report" in verify(folder)
    a_word(folder)


def the_first_version_named(folder: Path) -> None:
    """What was drawn by this version is none of the first's."""
    report = json.loads((folder / "report.json").read_text())
    del report["version"]
    (folder / "report.json").write_text(document.text({"format": 1, **report}))


def a_word_and_an_unknown_version(folder: Path) -> None:
    a_word(folder)
    named(folder, version=7)


def a_word_and_no_version(folder: Path) -> None:
    a_word(folder)
    report = json.loads((folder / "report.json").read_text())
    del report["version"]
    (folder / "report.json").write_text(document.text(report))


def the_page_with_its_own_data(folder: Path) -> None:
    """The picture of an honest page: what it shows and the JSON in it agree."""
    text = (folder / "report.html").read_text()
    (folder / "report.html").write_text(text.replace("inconclusive", "better"))


def words_in_the_style(folder: Path) -> None:
    swap(folder / "report.html", "</style>", ".result::after{content:'mssr wins'}</style>")


def a_script(folder: Path) -> None:
    swap(folder / "report.html", "</body>", "<script>document.title='mssr wins'</script></body>")


def a_curve(folder: Path) -> None:
    swap(folder / "report.html", r'(class="line" d="M[\d.]+ )[\d.]+', r"\g<1>1.0")


def an_answer_shown(folder: Path) -> None:
    swap(folder / "report.html", r'(class="thought"[^>]*>\s*)\w+', r"\1Certainly")


def a_picture_shown(folder: Path) -> None:
    swap(folder / "report.html", r"base64,.{40}", "base64," + base64.b64encode(b"x" * 30).decode())


def a_number_in_the_markdown(folder: Path) -> None:
    swap(folder / "report.md", r"51\.25", "61.25")


def a_number_for_the_paper(folder: Path) -> None:
    swap(folder / "table.tex", r"51\.25", "61.25")


def a_page_gone(folder: Path) -> None:
    (folder / "report.html").unlink()


# ---- report.json, and what is drawn from it ----


def a_number_of_the_document(folder: Path) -> None:
    swap(folder / "report.json", r'"value": 0\.5125', '"value": 0.6125')


def a_verdict_everywhere(folder: Path) -> None:
    redrawn(folder, lambda report: report["envs"][0]["pairs"][0].update(verdict="better"))


def a_caution_left_out(folder: Path) -> None:
    redrawn(folder, lambda report: report["envs"][0]["cautions"].clear())


def a_key_more(folder: Path) -> None:
    named(folder, reviewed="yes, all of it")


def a_key_less(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    del report["envs"][0]["stability"]
    (folder / "report.json").write_text(document.text(report))


def a_key_twice(folder: Path) -> None:
    swap(folder / "report.json", r'"verdict": ', '"verdict": "mssr is better", "verdict": ')


def a_source_not_named(folder: Path) -> None:
    redrawn(folder, lambda report: report["sources"].pop(f"{MSSR}/samples.jsonl"))


# ---- raw files, nothing drawn again ----


def an_answer_on_record(folder: Path) -> None:
    rewrite(folder / MSSR / "samples.jsonl", lambda row: row.update(response="\\boxed{4}"))


def a_file_gone(folder: Path) -> None:
    (folder / GRPO / "metrics.jsonl").unlink()


def a_picture_on_record(folder: Path) -> None:
    first, second = sorted((folder / MSSR / "samples").glob("*test*.png"))[:2]
    shutil.copy(first, second)


def a_run_added(folder: Path) -> None:
    shutil.copytree(folder / MSSR, folder / "runs" / "vision_r1-mssr-s7")


def two_runs_exchanged(folder: Path) -> None:
    (folder / MSSR).rename(folder / "aside")
    (folder / GRPO).rename(folder / MSSR)
    (folder / "aside").rename(folder / GRPO)


def weights(folder: Path) -> None:
    path = folder / MSSR / "checkpoints/step_6/policy/model.safetensors"
    path.write_bytes(b"better weights")


FILES: Mapping[Callable[[Path], None], str] = {
    a_digit: r"report\.html: line \d+ has .*big",
    a_word: r"report\.html: line \d+ has .*better at",
    a_digit_and_a_foreign_program: r"report\.html: line \d+ has .*big",
    a_word_and_the_first_version: r"report\.html: line \d+ has .*better at",
    the_first_version_named: r"samples/.*png is missing",
    a_word_and_an_unknown_version: r"names version 7 .*nothing was verified",
    a_word_and_no_version: r"names version None .*nothing was verified",
    the_page_with_its_own_data: r"report\.html: line \d+ has .*better",
    words_in_the_style: r"report\.html: line \d+ has .*mssr wins",
    a_script: r"report\.html: line \d+ has .*script",
    a_curve: r"report\.html: line \d+ has",
    an_answer_shown: r"report\.html: line \d+ has .*Certainly",
    a_picture_shown: r"report\.html: line \d+ has .*base64",
    a_number_in_the_markdown: r"report\.md: line \d+ has .*61\.25",
    a_number_for_the_paper: r"table\.tex: line \d+ has .*61\.25",
    a_page_gone: r"report\.html is missing",
    a_number_of_the_document: r"report\.json: envs\[0\]\.leaderboard\[0\]\.accuracy\.value is 0",
    a_verdict_everywhere: r"report\.json: envs\[0\]\.pairs\[0\]\.verdict is 'better', the runs",
    a_caution_left_out: r"report\.json: envs\[0\]\.cautions\[0\] is None, the runs say",
    a_key_more: r"report\.json: reviewed is nothing that this version",
    a_key_less: r"report\.json: envs\[0\]\.stability is missing",
    a_key_twice: r"the key 'verdict' occurs twice",
    a_source_not_named: r"mssr-s0/samples\.jsonl came after the report",
    an_answer_on_record: r"mssr-s0/samples\.jsonl was changed after the report was made",
    a_file_gone: r"grpo-s0/metrics\.jsonl is missing",
    a_picture_on_record: r"mssr-s0/samples/.*png was changed after",
    a_run_added: r"runs/vision_r1-mssr-s7 is not listed in compare\.json",
    two_runs_exchanged: r"grpo-s0/.* was changed after",
    weights: r"step_6: policy/model\.safetensors is not what was written",
}


# ---- raw files, and all drawn again from them: what is left is what they say of each other ----


def an_accuracy(folder: Path) -> None:
    rewrite(folder / MSSR / "eval.jsonl", lambda row: row.update(accuracy=0.9))


def right_answers(folder: Path) -> None:
    """All problems of the test right, and the accuracy to match."""

    def change(row: dict[str, Any]) -> None:
        if row["split"] == "test":
            row.update(per_problem=dict.fromkeys(row["per_problem"], 1), accuracy=1.0)

    rewrite(folder / MSSR / "eval.jsonl", change)


def right_answers_of_every_kind(folder: Path) -> None:
    """The kinds as well; the recorded answers and summary.json still say otherwise."""
    right_answers(folder)

    def change(row: dict[str, Any]) -> None:
        if row["split"] == "test":
            for kinds in row["by_tag"].values():
                for kind in kinds.values():
                    kind["accuracy"] = 1.0

    rewrite(folder / MSSR / "eval.jsonl", change)


def an_evaluation_left_out(folder: Path) -> None:
    rewrite(folder / MSSR / "eval.jsonl", lambda row: row["step"] != 3)


def easier_problems(folder: Path) -> None:
    """Those that were answered wrongly at the end are taken out."""

    def change(row: dict[str, Any]) -> None:
        if row["split"] == "val" and row["step"] == 6:
            right = {key: won for key, won in row["per_problem"].items() if won}
            drawn = {key: row["per_problem_sampled"][key] for key in right}
            sampled = sum(drawn.values()) / (4 * len(right))
            row.update(per_problem=right, per_problem_sampled=drawn, n=len(right), accuracy=1.0)
            row.update(by_tag={}, accuracy_sampled=sampled)

    rewrite(folder / MSSR / "eval.jsonl", change)


def a_reward_curve(folder: Path) -> None:
    rewrite(folder / MSSR / "metrics.jsonl", lambda row: row.update({"reward/mean": 0.95}))


def a_smaller_budget(folder: Path) -> None:
    def change(row: dict[str, Any]) -> None:
        row["budget/generated_tokens"] //= 2

    rewrite(folder / MSSR / "metrics.jsonl", change)


def a_step_left_out(folder: Path) -> None:
    rewrite(folder / MSSR / "metrics.jsonl", lambda row: row["step"] != 4)


def a_ledger(folder: Path) -> None:
    summary = json.loads((folder / MSSR / "summary.json").read_text())
    edit(folder / MSSR / "summary.json", ledger={**summary["ledger"], "rollouts": 192})


def another_learning_rate(folder: Path) -> None:
    swap(folder / MSSR / "config.yaml", r"lr: 0\.0001", "lr: 0.001")


def another_seed(folder: Path) -> None:
    swap(folder / MSSR / "config.yaml", r"\nseed: 0", r"\nseed: 5")


def a_reason(folder: Path) -> None:
    """Recorded answers that count as right where eval.jsonl counts them wrong."""
    rewrite(folder / MSSR / "samples.jsonl", lambda row: row.update(reason="correct", reward=1.0))


def a_run_left_out(folder: Path) -> None:
    compare = json.loads((folder / "compare.json").read_text())
    runs = [run for run in compare["runs"] if not MSSR.endswith(run["name"])]
    edit(folder / "compare.json", runs=runs)
    shutil.rmtree(folder / MSSR)


def a_run_told_twice(folder: Path) -> None:
    compare = json.loads((folder / "compare.json").read_text())
    first = compare["runs"][0]
    runs = [run | {"name": first["name"]} if run["seed"] else run for run in compare["runs"]]
    edit(folder / "compare.json", runs=runs)


def two_arms_exchanged(folder: Path) -> None:
    two_runs_exchanged(folder)


def weights_sealed_again(folder: Path) -> None:
    """Other weights with a manifest of their own: the run's record knows another."""
    final = folder / MSSR / "checkpoints/step_6"
    state = (final / "state.json").read_bytes()

    def fill(aside: Path) -> None:
        (aside / "policy").mkdir()
        (aside / "policy" / "model.safetensors").write_bytes(b"better weights")
        (aside / "state.json").write_bytes(state)

    shutil.rmtree(final)
    checkpoint.write(final, fill)


def weights_of_another_run(folder: Path) -> None:
    """The other arm's checkpoint, and a record to match: its scores are not this run's."""
    final = folder / MSSR / "checkpoints/step_6"
    shutil.rmtree(final)
    shutil.copytree(folder / GRPO / "checkpoints/step_6", final)
    seal = {"step": 6, "manifest": checkpoint.seal_of(final)}
    edit(folder / MSSR / "run.json", final_checkpoint=seal)


def nonsense(folder: Path) -> None:
    rewrite(folder / MSSR / "eval.jsonl", lambda row: row.update(by_tag={"family": [1, 2]}))


RAW: Mapping[Callable[[Path], None], str] = {
    an_accuracy: r"accuracy is 0\.9, its problems say",
    right_answers: r"accuracy is 1, its kinds of family say",
    right_answers_of_every_kind: r"samples\.jsonl: the answer to .* eval\.jsonl counts 1",
    an_evaluation_left_out: r"eval\.jsonl: val was scored at steps \[0, 6\], it was due at",
    easier_problems: r"eval\.jsonl: val at step 6 has other problems than before",
    a_reward_curve: r"metrics\.jsonl: reward/mean is 0\.95 at step 1",
    a_smaller_budget: r"metrics\.jsonl says",
    a_step_left_out: r"its steps are not 1, 2, 3",
    a_ledger: r"summary\.json: ledger has 192 rollouts, metrics\.jsonl says 384",
    another_learning_rate: r"config\.yaml: train\.lr is 0\.001, compare\.json says 0\.0001",
    another_seed: r"config\.yaml: seed is 5, compare\.json says 0",
    a_reason: r"samples\.jsonl: the answer to .* eval\.jsonl counts 0",
    a_run_left_out: r"compare\.json lists no run of mssr on vision_r1 with seed 0",
    a_run_told_twice: r"compare\.json lists .* times",
    two_arms_exchanged: r"config\.yaml: name is vision_r1-",
    weights_sealed_again: r"step_6 is not the checkpoint that the run ended with",
    weights_of_another_run: r"it was scored .* eval\.jsonl says otherwise",
    nonsense: r"eval\.jsonl: val was scored at steps \[\], it was due at",  # no such row is read
}


def test_a_folder_that_nobody_touched_holds(folder: Path) -> None:
    said = verify(folder)
    assert re.match(r"verified +[\d,]+ numbers of ", said)
    assert "72 recorded answers earn what they earned" in said
    assert "8 files of checkpoints have the hashes in their manifests" in said
    assert "not checked  that the runs' models answer as recorded: deep=true" in said


@pytest.mark.slow
@pytest.mark.parametrize("tamper", FILES, ids=lambda tamper: tamper.__name__)
def test_an_edited_file_is_found(tamper: Callable[[Path], None], folder: Path) -> None:
    tamper(folder)
    with pytest.raises(RunFailed, match=f"(?s){FILES[tamper]}"):
        verify(folder)


@pytest.mark.slow
@pytest.mark.parametrize("tamper", RAW, ids=lambda tamper: tamper.__name__)
def test_a_raw_file_that_fits_no_other_is_found_though_all_is_drawn_again(
    tamper: Callable[[Path], None], folder: Path
) -> None:
    tamper(folder)
    with suppress(AttributeError):  # of `nonsense`, which cannot be drawn
        comparison_page.write(folder)
    with pytest.raises(RunFailed, match=f"(?s){RAW[tamper]}"):
        verify(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"response": "<think>no</think>\\boxed{17}"},
            "has the reward 1.0, graded again it is 0.0",
        ),
        ({"answer": "17"}, "has the answer '17', the problem's is"),
        ({"prompt": "Say 17."}, "has the prompt 'Say 17.', the problem's is"),
        ({"key": "mine"}, "mine on test at step 6 is not a problem of vision_r1"),
    ],
)
def test_a_recorded_answer_is_graded_again(change: dict[str, str], says: str, folder: Path) -> None:
    """Nothing else in the folder contradicts these: only the environment does."""

    def edit_first_right(row: dict[str, Any], done: list[str] = []) -> None:  # noqa: B006
        if row["split"] == "test" and row["reason"] == "correct" and not done:
            done.append(row["key"])
            row.update(change)

    rewrite(folder / MSSR / "samples.jsonl", edit_first_right)
    comparison_page.write(folder)
    with pytest.raises(RunFailed, match=f"(?s)mssr-s0/samples\\.jsonl: .*{re.escape(says)}"):
        verify(folder)
