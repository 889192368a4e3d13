"""Maps of swept keys: cells, collapses, missing runs, effects, and that they can be verified."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.comparison import document, maps
from mssr_rl.comparison.comparison_page import write
from mssr_rl.comparison.document import plain
from mssr_rl.comparison.evidence import read_evidence
from mssr_rl.comparison.findings import findings
from mssr_rl.comparison.verify_report import verify
from mssr_rl.errors import RunFailed, UserError

Make = Callable[..., Path]
KEYS = ("train.lr", "train.epochs")
ACCURACY = {("1e-4", "1"): 0.6, ("1e-3", "1"): 0.5, ("1e-4", "2"): 0.55, ("1e-3", "2"): 0.25}


def label(values: tuple[str, ...], group: str = "mssr") -> str:
    return f"{group}_{values[0]}_{values[1]}"


def declare(folder: Path, swept: dict[str, Any]) -> Path:
    path = folder / "compare.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "swept": swept}))
    return folder


@pytest.fixture
def map_folder(make_comparison: Make) -> Path:
    """Two by two cells of two seeds; in the worst cell both runs explode at step 5."""
    folder = make_comparison({label(at): share for at, share in ACCURACY.items()}, seeds=2)
    for path in folder.glob("runs/vision_r1-mssr_1e-3_2-s*/metrics.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            row["actor/kl_step"] = 0.2 if row["step"] >= 3 else 0.0
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arms = {
        label(at): {"group": "mssr", "values": dict(zip(KEYS, at, strict=True))} for at in ACCURACY
    }
    return declare(folder, {"design": "grid", "arms": arms})


def test_a_map_has_a_cell_for_each_pair_of_values_with_mean_and_collapses(map_folder):
    found = findings(read_evidence(map_folder)).maps
    assert isinstance(found, maps.MapSection)
    (one,) = found.maps
    assert (one.across, one.down) == KEYS
    # Values ascend to the right and upwards, as numbers and not as texts.
    assert (one.columns, one.rows) == (("1e-4", "1e-3"), ("2", "1"))
    assert one.arms[0] == (label(("1e-4", "2")), label(("1e-3", "2")))
    cells = {cell.arm: cell for cell in found.cells}
    worst = cells[label(("1e-3", "2"))]
    assert worst.collapsed == {"entropy": 0, "validation": 0, "explosion": 2, "any": 2}
    assert worst.accuracy == pytest.approx(0.2375)  # seeds at 0.225 and 0.25
    assert cells[label(("1e-4", "1"))].collapsed["any"] == 0


def test_a_map_is_drawn_and_verified_and_a_changed_number_is_noticed(map_folder):
    written = write(map_folder)
    page = written.page.read_text()
    assert '<section id="maps" class="maps">' in page
    assert page.count('class="frame"') == 1
    assert "2 of 2 collapsed (explosion 2)" in page
    assert "numbers of" in verify(map_folder)
    path = map_folder / "report.json"
    report = json.loads(path.read_text())
    report["maps"]["cells"][0]["accuracy"] += 0.01
    path.write_text(document.text(report))
    with pytest.raises(RunFailed, match=r"maps\.cells\[0\]\.accuracy"):
        verify(map_folder)


def test_a_cell_whose_run_failed_is_named_and_left_out(map_folder):
    name = f"vision_r1-{label(('1e-3', '1'))}-s1"
    (map_folder / "runs" / name / "config.yaml").unlink()
    text = write(map_folder).page.read_text()
    assert f"1 of 2 runs failed or have not ended, and are left out: {name}" in text
    assert "0 of 1" in text


def test_without_swept_keys_there_is_no_section_and_no_style_of_maps(make_comparison):
    folder = make_comparison({"grpo": 0.4, "mssr": 0.5}, seeds=2)
    report = plain(findings(read_evidence(folder)))
    assert "maps" not in report
    page = write(folder).page.read_text()
    assert "heatmap" not in page
    assert "Maps" not in page


def test_three_keys_make_small_multiples_and_keys_of_texts_are_never_axes():
    arms = {
        f"{lr} {epochs} {model}": {
            "train.lr": lr,
            "model.path": model,
            "train.epochs": epochs,
        }
        for lr in ("1", "2", "3")
        for epochs in ("1", "2")
        for model in ("a", "b")
    }
    found = list(maps.outcome_maps("e", "g", arms))
    assert [one.others for one in found] == [{"model.path": "a"}, {"model.path": "b"}]
    assert {(one.across, one.down) for one in found} == {("train.lr", "train.epochs")}
    assert found[1].arms == (("1 2 b", "2 2 b", "3 2 b"), ("1 1 b", "2 1 b", "3 1 b"))
    one_axis = {
        name: {k: v for k, v in arm.items() if k != "train.lr"} for name, arm in arms.items()
    }
    assert list(maps.outcome_maps("e", "g", one_axis)) == []


def test_a_screening_gives_the_main_effects_that_its_runs_have(make_comparison):
    accuracy = {("0", "0"): 0.3, ("1", "0"): 0.5, ("0", "1"): 0.4, ("1", "1"): 0.6}
    folder = make_comparison({label(at): share for at, share in accuracy.items()}, seeds=2)
    arms = {label(at): {"group": "mssr", "values": {"a": at[0], "b": at[1]}} for at in accuracy}
    declare(folder, {"design": "screening", "arms": arms})
    found = findings(read_evidence(folder)).maps
    assert isinstance(found, maps.MapSection)
    effects = {one.key: one for one in found.effects}
    assert effects["a"].accuracy.value == pytest.approx(0.2)
    assert effects["b"].accuracy.value == pytest.approx(0.1)
    assert effects["a"].accuracy.low is not None
    assert effects["a"].accuracy.low < 0.2 < (effects["a"].accuracy.high or 0)
    assert effects["a"].collapsed.value == pytest.approx(0)
    page = write(folder).page.read_text()
    assert "<h2>Screening</h2>" in page
    assert verify(folder)


def test_a_compare_json_whose_swept_arms_do_not_fit_is_refused(map_folder):
    compare = json.loads((map_folder / "compare.json").read_text())
    del compare["swept"]["arms"][label(("1e-4", "1"))]["values"]["train.lr"]
    (map_folder / "compare.json").write_text(json.dumps(compare))
    with pytest.raises(UserError, match="not as compare writes it: the swept arm"):
        read_evidence(map_folder)


@pytest.mark.slow
def test_a_page_with_maps_opens_without_a_complaint_and_fits(
    browser: Any, map_folder: Path
) -> None:
    browser.complaints.clear()
    made = write(map_folder).page
    for width in (1280, 390):
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1,
            mobile=width < 500,
        )  # fmt: skip
        browser.open(made)
        assert browser.run("document.scrollingElement.scrollWidth") <= width
        assert browser.run("document.querySelectorAll('.heat svg').length") == 1
        # The style of maps is allowed by the page's policy, and used.
        assert browser.run("getComputedStyle(document.querySelector('.heat')).display") == "grid"
    browser.call("Emulation.clearDeviceMetricsOverride")
    assert browser.complaints == []
