"""Version 1 of the report: what release 0.1 wrote, kept so that its comparisons can be verified.

Nothing writes version 1 any more. Its keys are those of `schemas/report_1.json`. Its words and
intervals follow the rule of then, which decided one environment at a time and knew of no earlier
looks. Its page is filled into the template of then, its tables are made by the code of then. Change
none of it: tests/comparison/recorded_0_1 holds comparisons that the release made.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from mssr_rl.comparison import accuracy, learning_speed
from mssr_rl.comparison.comparison_page import OURS, PageLayout, fill
from mssr_rl.comparison.document import promised
from mssr_rl.comparison.evidence import Evidence
from mssr_rl.comparison.findings import mean_by_seed, smallest_step
from mssr_rl.report.html import own
from mssr_rl.stats import power, questions
from mssr_rl.stats.intervals import Z95
from mssr_rl.stats.learning_curves import area
from mssr_rl.stats.paired import Spread, sign_flip, spread, t_interval, t_test, tost

Row = Mapping[str, Any]
Values = Mapping[str, Mapping[int, float]]  # arm -> seed -> a number
Questions = Mapping[str, Mapping[int, Mapping[str, float]]]  # arm -> seed -> problem -> right
TEX_ESCAPES = str.maketrans({c: f"\\{c}" for c in "_%&#$"})


def document(evidence: Evidence, now: Row) -> dict[str, Any]:
    """Today's document as version 1 had it."""
    found: dict[str, Any] = promised({"format": 1, **now}, 1)
    found["sources"] = sources(now["sources"])
    rule = VersionOneRule(**found["rule"])
    for on in found["envs"]:
        on.update(_on(evidence, on, rule, found["race"]))
    found["verdict"] = " ".join(on["verdict"] for on in found["envs"])
    if found["overall"] is not None:
        macro = mean_by_seed(evidence)
        pairs = _pairs(macro, smallest_step(evidence), rule)
        decided = [_raced(pair, found["race"], 1) for pair in pairs]
        at = "the mean over environments"
        found["overall"]["pairs"] = [_whole(pair, rule, at) for pair in decided]
    return found


def sources(now: Mapping[str, str]) -> dict[str, str]:
    """{path: hash} of the files it was made from: pictures were not among them."""
    return {name: digest for name, digest in now.items() if "/samples/" not in name}


# ---- the rule of then ----


class VersionOneRule(NamedTuple):
    """How a verdict was reached: on one environment, at one look."""

    margin: float
    alpha: float
    baseline: str | None

    @property
    def size(self) -> str:
        """The margin in words."""
        margin = 100 * self.margin
        return f"{margin:g} point{'s' * (margin != 1)}"

    def among(self, arms: Values | Questions) -> "VersionOneRule":
        """Without a baseline that has no finished run."""
        return self if self.baseline in arms else self._replace(baseline=None)


class Test(NamedTuple):
    """The tests of a pair, as they are and after Holm over the pairs of one table."""

    spread: Spread
    p: float
    p_holm: float
    p_equivalence: float
    p_equivalence_holm: float


class JudgedPair(NamedTuple):
    """A pair with its word."""

    a: str
    b: str
    word: str
    why: str
    seeds: tuple[int, ...]
    unpaired: tuple[int, ...]
    differences: tuple[float, ...]
    test: Test | None
    tested: int  # pairs of its table that have a test


def _pairs(values: Values, resolution: float, rule: VersionOneRule) -> list[JudgedPair]:
    rule = rule.among(values)
    arms = list(values)
    pairs = list(combinations(arms, 2))
    if rule.baseline is not None:
        pairs = [(arm, rule.baseline) for arm in arms if arm != rule.baseline]
    spreads = {(a, b): spread(_differences(values[a], values[b]), resolution) for a, b in pairs}
    tested = {pair: found for pair, found in spreads.items() if found is not None}
    p = [t_test(found) for found in tested.values()]
    q = [tost(found, rule.margin) for found in tested.values()]
    rows = zip(tested.values(), p, _holm(p), q, _holm(q), strict=True)
    tests = dict(zip(tested, (Test(*row) for row in rows), strict=True))
    return [
        _judged((a, b), (values[a], values[b]), tests.get((a, b)), rule)._replace(tested=len(tests))
        for a, b in pairs
    ]


def _judged(
    names: tuple[str, str],
    values: tuple[Mapping[int, float], Mapping[int, float]],
    test: Test | None,
    rule: VersionOneRule,
) -> JudgedPair:
    a, b = values
    seeds = tuple(sorted(a.keys() & b.keys()))
    word = "inconclusive"
    if test is not None and test.p_equivalence_holm < rule.alpha:
        word = "equivalent"
    elif test is not None and test.p_holm < rule.alpha:
        word = "better" if test.spread.mean > 0 else "worse"
    why = _why(word, test, len(seeds), rule)
    unpaired = tuple(sorted(a.keys() ^ b.keys()))
    return JudgedPair(*names, word, why, seeds, unpaired, _differences(a, b), test, 0)


def _differences(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[float, ...]:
    return tuple(a[seed] - b[seed] for seed in sorted(a.keys() & b.keys()))


def _holm(p: Sequence[float]) -> list[float]:
    return list(p) if len(p) < 2 else [float(x) for x in multipletests(p, method="holm")[1]]


def _raced(pair: JudgedPair, race: Row, envs: int) -> JudgedPair:
    """An arm that the race ended was worse by the race's rule."""
    one = race.get(pair.a)
    if one is None or one["out_after"] is None:
        return pair
    out = (
        f"out of the race after {one['out_after']} seeds (e-value {one['e_value']:,.0f}, "
        f"{one['threshold']:,.0f} asked"
    )
    if envs > 1:
        why = f"{out}, on the mean over environments, which does not tell of this one alone)"
        return pair._replace(word="inconclusive", why=why)
    beside = "the t-test beside it does not count, it was looked at after every seed)"
    return pair._replace(word="worse", why=f"{out}; {beside}")


# ---- its words ----


def _on(evidence: Evidence, on: Row, rule: VersionOneRule, race: Row) -> dict[str, Any]:
    """What the rule said of one environment."""
    runs, arms = evidence.on(on["env"]), evidence.compare["arms"]
    asked = accuracy.scores(runs, arms, on["split"])
    if not asked:
        return {}
    count = len(next(iter(next(iter(asked.values())).values())))
    values = {
        arm: {seed: sum(right.values()) / count for seed, right in by_seed.items()}
        for arm, by_seed in asked.items()
    }
    envs = len(evidence.compare["envs"])
    pairs = [_raced(pair, race, envs) for pair in _pairs(values, 1 / count, rule)]
    order = [row["arm"] for row in on["leaderboard"]]
    weak = [f"{p.a} and {p.b}" for p in pairs if p.word == "inconclusive" and _weak(p, rule)]
    return {
        "pairs": [{**_whole(pair, rule, on["at"]), **_opinions(pair, asked)} for pair in pairs],
        "verdict": _headline(pairs, order, on, rule),
        "in_front": _in_front(pairs, order, on["at"], rule.among(values)),
        "cautions": list(_cautions(on["cautions"], values, weak)),
        "speed": [_speed(evidence, row, on["env"], rule) for row in on["speed"]],
    }


def _why(word: str, test: Test | None, seeds: int, rule: VersionOneRule) -> str:
    if test is None:
        return (
            f"{'one seed' if seeds == 1 else 'no seed'} in common: one training of each says "
            "nothing about the spread over trainings; at least two seeds each are needed"
        )
    alpha = f"{rule.alpha:g}"
    if word == "equivalent":
        p = test.p_equivalence_holm
        return f"the difference is below {rule.size} (TOST p {p:.2g}, Holm, below {alpha})"
    if word != "inconclusive":
        return f"the seeds agree (paired t p {test.p_holm:.2g}, Holm, below {alpha})"
    return (
        f"neither a difference (paired t p {test.p_holm:.2g}, Holm) nor equivalence within "
        f"{rule.size} (TOST p {test.p_equivalence_holm:.2g}, Holm) is shown at {alpha}"
    )


def _sentence(pair: JudgedPair, rule: VersionOneRule, at: str, *, turned: bool = False) -> str:
    a, b = (pair.b, pair.a) if turned else (pair.a, pair.b)
    opposite = {"better": "worse", "worse": "better"}
    word = opposite.get(pair.word, pair.word) if turned else pair.word
    said = {
        "better": f"{a} is better than {b} at {at}",
        "worse": f"{a} is worse than {b} at {at}",
        "equivalent": f"{a} and {b}: equivalent within {rule.size} at {at}",
        "inconclusive": f"{a} and {b}: inconclusive at {at}",
    }[word]
    return f"{said} ({_evidence(pair, word, rule, turned=turned)})"


def _evidence(pair: JudgedPair, word: str, rule: VersionOneRule, *, turned: bool) -> str:
    if pair.test is None:
        return pair.why
    ends = t_interval(pair.test.spread)
    ends = (-ends.value, -ends.high, -ends.low) if turned else ends  # type: ignore[assignment]
    value, low, high = (f"{100 * x:+.1f}".replace("-", "−") for x in ends)
    said = f"{value} points, 95 % {low} to {high}"
    return f"{said}; {_more_seeds(pair, rule)}" if word == "inconclusive" else said


def _more_seeds(pair: JudgedPair, rule: VersionOneRule) -> str:
    needed = _outlook(pair, rule)["seeds_to_detect"]
    if needed is None:
        return f"detecting {rule.size} needs more than 1,000 seeds"
    more = needed - len(pair.seeds)
    if more <= 0:
        return f"enough seeds to detect {rule.size}"
    return f"detecting {rule.size} needs about {more} more seed{'s' * (more != 1)}"


def _headline(
    pairs: Sequence[JudgedPair], order: Sequence[str], on: Row, rule: VersionOneRule
) -> str:
    env, at = on["env"], on["at"]
    if not pairs:
        return f"On {env} only {order[0]} has finished runs: there is nothing to compare it with."
    if len(pairs) == 1:
        return f"On {env}, {_sentence(pairs[0], rule, at)}."
    return f"On {env} at {at}: {'; '.join(_clauses(pairs, order, rule))}."


def _clauses(
    pairs: Sequence[JudgedPair], order: Sequence[str], rule: VersionOneRule
) -> Iterator[str]:
    beaten: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.word in ("better", "worse"):
            winner, loser = (pair.a, pair.b) if pair.word == "better" else (pair.b, pair.a)
            beaten.setdefault(winner, []).append(loser)
    for arm in order:
        if names := beaten.get(arm):
            listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
            yield f"{arm} is better than {listed}"
    equal = [f"{p.a} and {p.b}" for p in pairs if p.word == "equivalent"]
    if equal:
        yield f"{'; '.join(equal)} are equivalent within {rule.size}"
    undecided = sum(pair.word == "inconclusive" for pair in pairs)
    if undecided == len(pairs):
        yield f"inconclusive, no two of the {len(order)} arms can be told apart"
    elif undecided:
        yield f"{undecided} of {len(pairs)} pairs are inconclusive"


def _in_front(
    pairs: Sequence[JudgedPair], order: Sequence[str], at: str, rule: VersionOneRule
) -> str:
    if len(order) < 3 or rule.baseline is not None:
        return ""
    first, second = order[:2]
    pair = next(pair for pair in pairs if {pair.a, pair.b} == {first, second})
    return f"In front: {_sentence(pair, rule, at, turned=pair.a != first)}."


WEAK = "Underpowered, a difference of 5 margins could have been missed"


def _cautions(now: Sequence[str], values: Values, weak: Sequence[str]) -> Iterator[str]:
    """Those of then: of today's, the ones that do not depend on the rule."""
    seeds = min(len(by_seed) for by_seed in values.values())
    if seeds < 5:
        yield f"With {seeds} seed{'s' * (seeds != 1)} an arm only large differences can be shown."
    for what in (*FACTS, WEAK):
        yield from (line for line in now if line.startswith(f"{what}: ") and what != WEAK)
        if what == WEAK and weak:
            yield f"{WEAK}: {', '.join(weak)}."
    yield from (line for line in now if " was out of the race after " in line)


FACTS = (
    "Missing, and not in the verdict",
    "Collapsed, and counted with their last evaluation",
    "Decided on val, because these have no test",
    "Without a finished run, so that all pairs were tested against each other",
)


# ---- its numbers ----


def _whole(pair: JudgedPair, rule: VersionOneRule, at: str) -> dict[str, Any]:
    test, differences = pair.test, pair.differences
    mean = sum(differences) / len(differences) if differences else None
    flips = sign_flip(differences)._asdict() if test else None
    return {
        "a": pair.a,
        "b": pair.b,
        "verdict": pair.word,
        "sentence": _sentence(pair, rule, at),
        "why": pair.why,
        "difference": _ends(pair, mean),
        "sd": test.spread.sd if test else None,
        "seeds": list(pair.seeds),
        "unpaired": list(pair.unpaired),
        "differences": list(differences),
        "t_test": {"p": test.p, "p_holm": test.p_holm} if test else None,
        "equivalence": (
            {"p": test.p_equivalence, "p_holm": test.p_equivalence_holm} if test else None
        ),
        "sign_flip": flips,
        "outlook": _outlook(pair, rule) if test else None,
        "checkpoints": [],
        "bootstraps": [],
    }


def _ends(pair: JudgedPair, alone: float | None) -> dict[str, float | None]:
    if pair.test is None:
        return {"value": alone, "low": None, "high": None}
    return {end: float(x) for end, x in t_interval(pair.test.spread)._asdict().items()}


def _outlook(pair: JudgedPair, rule: VersionOneRule) -> dict[str, Any]:
    assert pair.test is not None
    sd, alpha = pair.test.spread.sd, rule.alpha / max(pair.tested, 1)
    return {
        "detectable": power.detectable(sd, len(pair.seeds), alpha),
        "seeds_to_detect": power.seeds_to_detect(sd, rule.margin, alpha),
        "seeds_to_equate": power.seeds_to_equate(sd, rule.margin, alpha),
    }


def _weak(pair: JudgedPair, rule: VersionOneRule) -> bool:
    if pair.test is None:
        return True
    detectable = _outlook(pair, rule)["detectable"]
    return detectable is None or detectable > 5 * rule.margin


def _opinions(pair: JudgedPair, asked: Questions) -> dict[str, Any]:
    if not pair.seeds:
        return {}
    a, b = ({seed: asked[arm][seed] for seed in pair.seeds} for arm in (pair.a, pair.b))
    found: dict[str, Any] = {
        "checkpoints": [_checkpoint(seed, a[seed], b[seed]) for seed in pair.seeds]
    }
    if len(pair.seeds) < 3:
        return found
    names = list(a[pair.seeds[0]])
    d_KN = np.array([[a[s][q] - b[s][q] for q in names] for s in pair.seeds], dtype=float)
    return {**found, "bootstraps": [_bootstrap(d_KN, kind) for kind in questions.SAYS]}


def _bootstrap(d_KN: questions.Array, kind: questions.Kind) -> dict[str, Any]:
    one = questions.bootstrap(d_KN, kind)
    return {
        "kind": one.kind,
        "says": one.says,
        "interval": {end: float(x) for end, x in one.interval._asdict().items()},
        "coverage": one.coverage,
        "measured_at": dict(zip(("seeds", "questions"), one.measured_at, strict=True)),
    }


def _checkpoint(seed: int, a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, Any]:
    pairs = [(a[question], b[question]) for question in a]
    change = [x - y for x, y in pairs]
    mean = sum(change) / len(change)
    interval: dict[str, float | None] = {"value": None, "low": None, "high": None}
    if len(change) > 1:
        half = Z95 * sqrt(sum((x - mean) ** 2 for x in change) / (len(change) - 1) / len(change))
        interval = {"value": mean, "low": mean - half, "high": mean + half}
    if any(share not in (0, 1) for pair in pairs for share in pair):
        return {"seed": seed, "only_a": None, "only_b": None, "p": None, "difference": interval}
    only_a, only_b = pairs.count((1, 0)), pairs.count((0, 1))
    table = [[pairs.count((1, 1)), only_a], [only_b, pairs.count((0, 0))]]
    p = float(mcnemar(table, exact=True).pvalue)
    return {"seed": seed, "only_a": only_a, "only_b": only_b, "p": p, "difference": interval}


def _speed(evidence: Evidence, now: Row, env: str, rule: VersionOneRule) -> dict[str, Any]:
    runs, arms = evidence.on(env), [row["arm"] for row in now["areas"]]
    by_arm = learning_speed.curves(
        runs, [a for a in evidence.compare["arms"] if a in arms], now["axis"]
    )
    areas = {
        arm: {seed: area(curve, now["until"]) for seed, curve in by_seed.items()}
        for arm, by_seed in by_arm.items()
    }
    asked = max((int(row["n"]) for run in runs if (row := run.last("val"))), default=1)
    pairs = [
        {
            "a": pair.a,
            "b": pair.b,
            "verdict": pair.word,
            "difference": _ends(pair, None),
            "p_holm": pair.test.p_holm if pair.test else None,
        }
        for pair in _pairs(areas, 1 / max(1, asked), rule)
    ]
    return {**now, "pairs": pairs}


# ---- its files ----


def contents(evidence: Evidence, found: Mapping[str, Any]) -> dict[str, bytes]:
    """{file: what version 1 wrote into it}, report.json aside."""
    return {
        "report.md": _markdown(found).encode("utf-8", "replace"),
        "table.tex": _latex(found).encode("utf-8", "replace"),
        "report.html": fill(_look(), evidence, found).encode("utf-8", "replace"),
    }


def _look() -> PageLayout:
    folder = OURS / "version_1"
    style, script = own(folder / "page.css"), own(folder / "page.js")
    # Wrong, as the share is of tokens, but it is what the page said.
    units = {"Zero advantage": "share of rollouts"}
    return PageLayout("version_1/page.html.j2", style, script, units)


def _markdown(found: Mapping[str, Any]) -> str:
    """The whole of report.md."""
    parts = [f"# Comparison\n\n{found['verdict']}\n\n    {' '.join(found['command'])}"]
    for env in found["envs"]:
        parts += [f"## {env['env']}", *_environment(env, found["arms"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _latex(found: Mapping[str, Any]) -> str:
    """A booktabs table: an arm a line, an environment two columns."""
    envs = found["envs"]
    heads = " & ".join(f"{_tex(env['env'])} & 95\\,\\% interval" for env in envs)
    lines = [
        f"% {_tex(found['verdict'])}",
        f"\\begin{{tabular}}{{l{'rr' * len(envs)}}}",
        "\\toprule",
        f"arm & {heads} \\\\",
        "\\midrule",
        *(_tex_row(arm, envs) for arm in found["arms"]),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _tex(text: str) -> str:
    """Any text as LaTeX reads it."""
    return text.translate(TEX_ESCAPES).replace("−", "$-$").replace("×", "$\\times$")


def _percent(value: float | None) -> str:
    """A share as a percentage, without the sign."""
    return "–" if value is None else f"{100 * value:.2f}"


def _points(value: float | None) -> str:
    """A difference in percentage points."""
    return "–" if value is None else f"{100 * value:+.2f}".replace("-", "−")


def _environment(env: Row, arms: Sequence[str]) -> list[str]:
    split, questions = env["split"], env["questions"]
    return [
        env["in_front"],
        *env["cautions"],
        f"Greedy accuracy in % of the final model, {questions:,} {split} problems, {env['at']}.",
        "The interval is over seeds.",
        _leaderboard(env),
        "Pairs: a minus b in points, paired by seed.",
        _pairs_table(env),
        "Fairness: what differs between the arms.",
        _fairness(env, arms),
        "Stability.",
        _stability(env),
        "Spent by one run, on average.",
        _ledger(env),
    ]


def _leaderboard(env: Row) -> str:
    head = ["arm", "accuracy", "95 % interval", "seeds", "sampled", "val", "best val checkpoint"]
    rows = [
        [
            row["arm"],
            _percent(row["accuracy"]["value"]),
            _interval(row["accuracy"], _percent),
            " ".join(_percent(value) for value in row["by_seed"].values()),
            *(_percent(row[key]) for key in ("sampled", "val", "val_best_checkpoint")),
        ]
        for row in env["leaderboard"]
    ]
    return _table(head, rows)


def _pairs_table(env: Row) -> str:
    head = ["a", "b", "verdict", "a − b", "95 % interval", "p (t, Holm)", "p (TOST, Holm)",
            "p (sign flips)"]  # fmt: skip
    rows = [
        [
            pair["a"],
            pair["b"],
            f"**{pair['verdict']}**",
            _points(pair["difference"]["value"]),
            _interval(pair["difference"], _points),
            _p(pair["t_test"], "p_holm"),
            _p(pair["equivalence"], "p_holm"),
            f"{_p(pair['sign_flip'], 'p')} (floor {_p(pair['sign_flip'], 'floor')})",
        ]
        for pair in env["pairs"]
    ]
    return _table(head, rows)


def _fairness(env: Row, arms: Sequence[str]) -> str:
    rows = [
        [row["name"], *(str(row["values"].get(arm)) for arm in arms), row["kind"]]
        for row in env["fairness"]
        if row["kind"] != "same"
    ]
    rows += [
        [row["name"], *(row["values"].get(arm, "–") for arm in arms), "as run: differs"]
        for row in env["as_run"]
        if not row["same"]
    ]
    return _table(["setting", *arms, "kind"], rows) if rows else "Nothing."


def _stability(env: Row) -> str:
    head = ["arm", "runs", "stable", "warned", "collapsed", "collapse rate, 95 %", "worst dip"]
    rows = [
        [
            *(str(row[key]) for key in ("arm", "runs", "stable", "warned", "collapsed")),
            _interval(row["collapse_rate"], _percent),
            _percent(row["worst_dip"]),
        ]
        for row in env["stability"]
    ]
    return _table(head, rows)


def _ledger(env: Row) -> str:
    rows = env["ledger"]
    names = list(rows[0]["counts"]) if rows else []
    return _table(
        ["arm", *(name.replace("_", " ") for name in names)],
        [[row["arm"], *(_count(row["counts"][name]) for name in names)] for row in rows],
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars in cells would end them."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines
    )


def _interval(found: Row, shown: Any) -> str:
    if found["low"] is None:
        return "–"
    return f"{shown(found['low'])} to {shown(found['high'])}"


def _p(found: Row | None, key: str) -> str:
    return "–" if found is None else f"{found[key]:.3g}"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _tex_row(arm: str, envs: Sequence[Row]) -> str:
    cells = []
    for env in envs:
        row = next((row for row in env["leaderboard"] if row["arm"] == arm), None)
        found = row["accuracy"] if row else {"value": None, "low": None}
        value = _percent(found["value"]).replace("–", "--")
        span = "--" if found["low"] is None else _interval(found, _percent).replace(" to ", "--")
        cells.append(f"{value} & {span}")
    return f"{_tex(arm)} & {' & '.join(cells)} \\\\"
