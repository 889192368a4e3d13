"""The study of collapse in short: two runs of its positive control, their file, their figures."""

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.chdir(tmp_path)
    import collapse_study

    yield collapse_study
    sys.modules.pop("collapse_study")


def row(arm: str, seed: int, entropy: list[float], values: dict[str, str]) -> dict[str, object]:
    count = len(entropy)
    flat = [0.01] * count
    return {
        "run": f"{arm}{seed}", "arm": arm, "seed": seed, "state": "done", "steps": count,
        "group": "mvsr", "values": values, "updates": [16 * i for i in range(1, count + 1)],
        "entropy": entropy, "kl_step": flat, "kl_ref": flat, "reward": flat,
        "val": [[0, 512, 0.5], [count, 512, 0.4]], "broken": False, "test": 0.4,
        "test_sampled": 0.4, "pass_8": 0.6, "picture": 0.1,
    }  # fmt: skip


def test_compact_files_give_outcomes_and_figures_that_can_be_drawn_again(study):
    falls = [0.2] * 10 + [0.02] * 10
    rows = [row("grpo", 0, falls, {}), row("mvsr", 0, [0.2] * 20, {})]
    # The window is 5 steps, from step 11 on.
    assert study.lives_of(rows[0])["entropy"] == (15 * 16, True)
    assert study.lives_of(rows[1])["any"] == (20 * 16, False)
    figures = dict(study.figures(rows))
    assert set(figures) == {"table.md", "survival.svg", "entropy.svg", "reward.svg"}
    assert "| grpo | 1 | 1 | 0 | 0 | 1 | 240 |" in figures["table.md"]
    for name, content in figures.items():
        if name.endswith(".svg"):
            ET.fromstring(content)


def test_the_compact_file_of_a_map_gives_a_figure_for_each_group(study):
    cells = [
        row(f"mvsr {a} {b}", 0, [0.2] * 20, {"train.lr": a, "train.epochs": b})
        for a in ("1e-4", "3e-4")
        for b in ("1", "2")
    ]
    figures = dict(study.figures(cells))
    assert set(figures) == {"table.md", "map-1.svg"}
    assert "0 of 1" in figures["map-1.svg"]
    ET.fromstring(figures["map-1.svg"])


def test_further_words_replace_those_of_a_part(study):
    words = study.words_of("map", ["train.lr=1e-4", "seeds=1"])
    assert [word for word in words if word.startswith(("train.lr=", "seeds="))] == [
        "seeds=1",
        "train.lr=1e-4",
    ]
    with pytest.raises(SystemExit, match="name a part of the study: control, regime"):
        study.main(["nothing"])


@pytest.mark.slow
def test_the_positive_control_in_short_trains_scores_and_draws(study, monkeypatch):
    monkeypatch.setattr(study, "SCORED", 8)
    small = "seeds=1 train.rollouts_per_step=32 budget.rollouts=64 eval.limit=8 eval.every=0"
    study.main(["control", *small.split(), "engine.threads=1", "jobs=2"])
    lines = [
        json.loads(line) for line in Path("study/collapse/control.jsonl").read_text().splitlines()
    ]
    assert {line["arm"].split()[0] for line in lines} == {"grpo", "mvsr"}
    for line in lines:
        assert line["updates"] == [2, 4]
        assert 0 <= line["pass_8"] <= 1
        assert len(json.dumps(line)) < 4000
    drawn = {path.name: path.read_bytes() for path in Path("docs/collapse").iterdir()}
    assert "control-entropy.svg" in drawn
    study.main(["draw"])
    assert drawn == {path.name: path.read_bytes() for path in Path("docs/collapse").iterdir()}
