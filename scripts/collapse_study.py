"""The study of collapse in docs/collapse.md, one part at a time: `bash scripts/collapse.sh PART`.

A part is one comparison. Every part is resumable: finished runs are kept. When its runs are done,
each final policy is scored once more (eight answers to each problem, and grey pictures). Then one
short line per run is written to study/collapse/PART.jsonl, a few kB each. `draw` makes every figure
of docs/collapse/ again from these files alone.

    python scripts/collapse_study.py regime seeds=2 budget.rollouts=7680    words replace its own
    python scripts/collapse_study.py draw
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mssr_rl import files
from mssr_rl.comparison import maps
from mssr_rl.comparison.accuracy import mean_right
from mssr_rl.comparison.evidence import ComparedRun, read_evidence
from mssr_rl.metric_names import ENTROPY, KL_REF, KL_STEP, REWARD_MEAN, budget_name
from mssr_rl.report import heat_map
from mssr_rl.report.curves import Chart, ChartLine, Point, draw
from mssr_rl.run import evaluate_words
from mssr_rl.stability.onsets import ANY, OUTCOMES, onsets
from mssr_rl.stats.rates import pass_at
from mssr_rl.stats.survival import Lifetime, logrank, median_lifetime, survival_curve
from mssr_rl.sweep import compare_verb

RAW, FIGURES, STARTS = Path("study/collapse"), Path("docs/collapse"), Path("starts")
SERIES = {"entropy": ENTROPY, "kl_step": KL_STEP, "kl_ref": KL_REF, "reward": REWARD_MEAN}
SCORED = 256  # test problems on which pass@8 and the worth of the picture are measured
COMMON = ("env=vision_r1", "recipe=collapse")
# mssr_released asks every problem before step 1, which would take most of the budget.
RELEASED = ("mssr_released.algo.prior=uniform", "mssr_released.algo.n_init=null")
REGIME = "algo=mvsr,mssr,mssr_released,grpo,rloo,reinforce_pp"
SCREENED = (
    "train.samples_per_update=16,64",
    "train.lr=1e-4,3e-4",
    "algo.clip_high=0.2,0.3",
    "env.train_limit=256,2048",  # fewer problems: each is visited more often
    "env.reward_flip=0.0,0.1",
    "env.picture_noise=0.0,50.0",
    f"model.path={STARTS}/ladder/step_800,{STARTS}/ladder/step_3200",
    "mvsr.normalisation=sequence,token",
)
PARTS: Mapping[str, tuple[str, ...]] = {
    # 2509.26114: with symmetric clipping, entropy falls even with random rewards.
    "control": (
        "algo=grpo,mvsr", "env.reward=random", "algo.clip_high=0.2", "algo.kl_coef=0.0", "seeds=5",
    ),
    "regime": (REGIME, *RELEASED, "seeds=5"),
    "screening": (
        "algo=mvsr,grpo", "design=screening", "seeds=1", *SCREENED,
        f"varies=[{','.join(word.partition('=')[0] for word in SCREENED[:-1])}]",
    ),
    # Two axes until the screening has named the strongest ones; other words replace them.
    "map": (
        "algo=mvsr,mssr,grpo", "seeds=3", "train.lr=1e-4,1.5e-4,2e-4,3e-4",
        "train.samples_per_update=8,16,32,64", "varies=[train.lr,train.samples_per_update]",
    ),
    "rescue": (
        "algo=mvsr,mssr,mssr_released,mvsr_entropy_loss,c_rf,kl_cov,grpo", *RELEASED, "seeds=3",
        "train.lr=2e-4", "mvsr.algo.clip_low=0.1,0.2", "varies=[algo.clip_low]",
    ),
    "text": (
        "algo=mvsr,mssr,grpo", "seeds=3", "env.scene=words", "env.overlap=allow",
        f"model.path={STARTS}/words",
    ),
    "sizes": (
        REGIME, *RELEASED, "seeds=3", "varies=[model.path]",
        f"model.path={STARTS}/small,{STARTS}/tiny,{STARTS}/large",
    ),
}  # fmt: skip
# The starts that a part needs, as arguments of `python -m tiny_model`.
NEEDED: Mapping[str, Mapping[str, str]] = {
    "screening": {"ladder": "--steps 800,3200"},
    "text": {"words": "--scene words"},
    "sizes": {size: f"--size {size}" for size in ("small", "tiny", "large")},
}


def words_of(part: str, given: Sequence[str] = ()) -> list[str]:
    """Return the arguments of `compare` for a part; given words replace its own of the same key."""
    words = {word.partition("=")[0]: word for word in (*COMMON, *PARTS[part], *given)}
    words.setdefault("name", f"name=collapse-{part}")
    return list(words.values())


def run(part: str, given: Sequence[str]) -> None:
    """Make the starts, train all runs of a part, score them, and write the compact file."""
    for name, arguments in NEEDED.get(part, {}).items():
        _start(STARTS / name, arguments)
    words = words_of(part, given)
    if "plan=true" in words:
        sys.stdout.write(compare_verb.compare_algorithms(words) + "\n")
        return
    sys.stdout.write(compare_verb.compare(words) + "\n")
    named = {key: value for key, _, value in (word.partition("=") for word in words)}
    folder = Path(named.get("comparisons_dir", "comparisons")) / named["name"]
    lines = [record(one, folder, named) for one in read_evidence(folder).runs if one.counts]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    RAW.mkdir(parents=True, exist_ok=True)
    files.write_bytes(RAW / f"{part}.jsonl", text.encode())
    draw_all()


def _start(folder: Path, arguments: str) -> None:
    if (folder / "README.md").is_file() or (folder / "step_3200" / "README.md").is_file():
        return
    command = [sys.executable, "-m", "tiny_model", "--out", str(folder), "--work", "warm_start"]
    subprocess.run([*command, *arguments.split()], check=True)


# ---- one line per run ----


def record(one: ComparedRun, folder: Path, named: Mapping[str, str]) -> dict[str, Any]:
    """Return the compact record of a finished run: its series, evaluations and final scores."""
    swept = json.loads((folder / "compare.json").read_text()).get("swept", {"arms": {}})["arms"]
    planned = one.files.run["steps"] if one.files else 0
    scored = [row for row in one.evaluations if row["split"] == "val"]
    return {
        "run": one.name, "arm": one.arm, "seed": one.seed, "state": one.state, "steps": planned,
        **swept.get(one.arm, {"group": one.arm, "values": {}}),
        "updates": [int(row[budget_name("updates")]) for row in one.metrics],
        **{name: [_short(row.get(key)) for row in one.metrics] for name, key in SERIES.items()},
        "val": [[row["step"], row["n"], _short(row["accuracy"])] for row in scored],
        "broken": any(e.get("event") == "non_finite" for e in maps.events(one)),
        "test": _short(mean_right(one.last("test"))),
        "test_sampled": _short(mean_right(one.last("test"), "per_problem_sampled")),
        **_final(one, folder, named),
    }  # fmt: skip


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def _final(one: ComparedRun, folder: Path, named: Mapping[str, str]) -> dict[str, float | None]:
    """Return pass@8 and the worth of the picture on the first test problems."""
    kept = {key: value for key, value in named.items() if key in ("env.scene", "env.overlap")}
    seen = _scored(one, folder, "seen", {**kept, "eval.samples": "8"})
    blind = None
    if "env.scene" not in named:
        blind = _scored(one, folder, "blind", {"eval.samples": "1", "env.blind": "true"})
    right = list(map(int, seen["per_problem_sampled"].values()))
    return {
        "pass_8": _short(pass_at(8, right, 8)),
        "picture": None if blind is None else _short(seen["accuracy"] - blind["accuracy"]),
    }


def _scored(
    one: ComparedRun, folder: Path, name: str, words: Mapping[str, str]
) -> Mapping[str, Any]:
    """Return the row of eval.jsonl of a final policy; it is scored only once."""
    tried = sorted((folder / "final").glob(f"{one.name}-{name}-*"))
    # table.md is written last. An interrupted evaluation left none, and cannot be continued.
    place = next((path for path in tried if (path / "table.md").is_file()), None)
    if place is None:
        place = folder / "final" / f"{one.name}-{name}-{len(tried)}"
        given = [f"env={one.env}", "split=test", f"eval.limit={SCORED}", "recipe=collapse"]
        given += [f"model.path={folder / 'runs' / one.name}"]
        given += [f"name={place.name}", f"runs_dir={place.parent}"]
        evaluate_words.evaluate_models([*given, *(f"{k}={v}" for k, v in words.items())])
    (row,) = (json.loads(line) for line in (place / "eval.jsonl").read_text().splitlines())
    return row


# ---- figures, from the compact files alone ----


def draw_all() -> list[Path]:
    """Draw every figure again from the files in study/collapse; return their paths."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    drawn = []
    for path in sorted(RAW.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for name, content in figures(rows):
            drawn.append(FIGURES / f"{path.stem}-{name}")
            files.write_bytes(drawn[-1], content.encode())
    return drawn


def lives_of(row: Mapping[str, Any]) -> dict[str, Lifetime]:
    """Return the outcomes of a run from its compact record."""
    metrics = [
        {"step": i, budget_name("updates"): u, **{SERIES[k]: _nan(row[k][i - 1]) for k in SERIES}}
        for i, u in enumerate(row["updates"], 1)
    ]
    marks = [{"step": s, "n": n, "accuracy": a, "split": "val"} for s, n, a in row["val"]]
    return onsets(row["steps"], metrics, marks, broken=row["broken"])


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def figures(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield (file name, content) of a part's figures and its table."""
    arms = dict.fromkeys(row["arm"] for row in rows)
    by_arm = {arm: [row for row in rows if row["arm"] == arm] for arm in arms}
    lives = {arm: [lives_of(row) for row in some] for arm, some in by_arm.items()}
    yield "table.md", table(by_arm, lives)
    if all(len(row["values"]) > 1 for row in rows):
        yield from _map_figures(by_arm, lives)
        return
    any_of = {arm: [one[ANY] for one in some] for arm, some in lives.items()}
    survival = tuple(ChartLine(name=arm, points=_steps(some)) for arm, some in any_of.items())
    yield "survival.svg", _alone("Runs that have not collapsed", survival, share=True)
    for name in ("entropy", "reward"):
        lines = tuple(ChartLine(name=a, points=_mean(some, name)) for a, some in by_arm.items())
        yield f"{name}.svg", _alone(f"{name}, mean of the seeds", lines)


def table(
    by_arm: Mapping[str, Sequence[Mapping[str, Any]]],
    lives: Mapping[str, Sequence[Mapping[str, Lifetime]]],
) -> str:
    """Return the outcomes of a part as a Markdown table, and the log-rank test of all arms."""
    finals = ("test", "test_sampled", "pass_8", "picture")
    head = ["arm", "runs", *OUTCOMES, ANY, "median updates", *finals]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for arm, rows in by_arm.items():
        some = lives[arm]
        counts = [str(sum(one[name].happened for one in some)) for name in (*OUTCOMES, ANY)]
        median = median_lifetime([one[ANY] for one in some])
        means = [_percent([row[name] for row in rows]) for name in finals]
        cells = [arm, str(len(rows)), *counts, "–" if median is None else str(median), *means]
        lines.append(f"| {' | '.join(cells)} |")
    p = logrank({arm: [one[ANY] for one in some] for arm, some in lives.items()})
    tested = "no run collapsed" if p is None else f"p = {p:.3g}"
    return "\n".join([*lines, "", f"Log-rank test of all arms, any outcome: {tested}.", ""])


def _percent(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{100 * sum(known) / len(known):.1f}" if known else "–"


def _map_figures(
    by_arm: Mapping[str, Sequence[Mapping[str, Any]]],
    lives: Mapping[str, Sequence[Mapping[str, Lifetime]]],
) -> Iterator[tuple[str, str]]:
    groups: dict[str, dict[str, Mapping[str, str]]] = {}
    cells = []
    for arm, rows in by_arm.items():
        groups.setdefault(rows[0]["group"], {})[arm] = rows[0]["values"]
        known = [row["test"] for row in rows if row["test"] is not None]
        cells.append({
            "arm": arm, "env": "", "accuracy": sum(known) / len(known) if known else None,
            "runs": len(rows),
            "collapsed": {n: sum(one[n].happened for one in lives[arm]) for n in (*OUTCOMES, ANY)},
        })  # fmt: skip
    made = [one for group, arms in groups.items() for one in maps.outcome_maps("", group, arms)]
    section = {"cells": cells, "maps": [asdict(one) for one in made]}
    for number, one in enumerate(heat_map.of_document(section, alone=True), 1):
        yield f"map-{number}.svg", str(one.svg)


def _steps(lives: Sequence[Lifetime]) -> tuple[Point, ...]:
    """Return a survival curve as points: it falls at each collapse, and ends at the last update."""
    curve = survival_curve(lives)
    points, share = [Point(0, 1.0, 0)], 1.0
    for updates, after in zip(curve.updates, curve.surviving, strict=True):
        points += [Point(updates, share, updates), Point(updates, after, updates)]
        share = after
    end = max(life.updates for life in lives)
    return (*points, Point(end, share, end))


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[Point, ...]:
    length = min(len(row["updates"]) for row in rows)
    points = []
    for i in range(length):
        values = [_nan(row[name][i]) for row in rows]
        updates = rows[0]["updates"][i]
        points.append(Point(updates, sum(values) / len(values), i + 1))
    return tuple(points)


COLOURS = ("#1c5d99", "#c4571b", "#3b7d4f", "#8a3f8f", "#8b6b00", "#0f7f86", "#a33a5b", "#55606e")
STYLE = (
    heat_map.STYLE
    + ".tick{fill:#62666e;font-size:11px}.y{text-anchor:end}.middle{text-anchor:middle}"
    ".rule{stroke:#e3e0d8;fill:none}.line{fill:none;stroke:var(--c);stroke-width:2}"
    ".at{display:none}.name{text-anchor:start;fill:var(--c);font-weight:600}"
    + "".join(f".s{i}{{--c:{colour}}}" for i, colour in enumerate(COLOURS, 1))
)


def _alone(title: str, lines: tuple[ChartLine, ...], *, share: bool = False) -> str:
    """Return a chart over updates as an SVG file, with the names of its lines below it."""
    chart = Chart(
        title=title, unit="", lines=lines, share=share, currency="updates", width=560, height=260
    )
    inner = str(draw(chart)).partition(">")[2].removesuffix("</svg>")
    names = "".join(
        f'<g class="s{i}"><text class="name" x="{20 + 180 * ((i - 1) % 3)}" '
        f'y="{278 + 16 * ((i - 1) // 3)}">{heat_map.escaped(line.name)}</text></g>'
        for i, line in enumerate(lines, 1)
    )
    height = 290 + 16 * ((len(lines) - 1) // 3)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="560" height="{height}" '
        f'viewBox="0 0 560 {height}" role="img" aria-label="{heat_map.escaped(title)}">'
        f"<style>{STYLE}</style>{inner}{names}</svg>\n"
    )


def main(words: Sequence[str]) -> None:
    """Run a part of the study, or draw its figures again."""
    part, given = (
        (words[0] if words else ""),
        ["plan=true" if w == "--plan" else w for w in words[1:]],
    )
    if part == "draw":
        sys.stdout.writelines(f"{path}\n" for path in draw_all())
    elif part in PARTS:
        run(part, given)
    else:
        raise SystemExit(f"name a part of the study: {', '.join(PARTS)}, or draw")


if __name__ == "__main__":
    main(sys.argv[1:])
