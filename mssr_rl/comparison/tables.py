"""report.md and table.tex: the numbers of report.json for a repository and for a paper. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
TEX_ESCAPES = str.maketrans({c: f"\\{c}" for c in "_%&#$"})


def markdown(found: Mapping[str, Any]) -> str:
    """The whole of report.md."""
    parts = [f"# Comparison\n\n{found['verdict']}\n\n    {' '.join(found['command'])}"]
    for env in found["envs"]:
        parts += [f"## {env['env']}", *_environment(env, found["arms"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def latex(found: Mapping[str, Any]) -> str:
    """A booktabs table: an arm a line, an environment two columns."""
    envs = found["envs"]
    heads = " & ".join(f"{tex(env['env'])} & 95\\,\\% interval" for env in envs)
    lines = [
        f"% {tex(found['verdict'])}",
        f"\\begin{{tabular}}{{l{'rr' * len(envs)}}}",
        "\\toprule",
        f"arm & {heads} \\\\",
        "\\midrule",
        *(_tex_row(arm, envs) for arm in found["arms"]),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def tex(text: str) -> str:
    """Any text as LaTeX reads it."""
    return text.translate(TEX_ESCAPES).replace("−", "$-$").replace("×", "$\\times$")


def percent(value: float | None) -> str:
    """A share as a percentage, without the sign."""
    return "–" if value is None else f"{100 * value:.2f}"


def points(value: float | None) -> str:
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
        _pairs(env),
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
            percent(row["accuracy"]["value"]),
            _interval(row["accuracy"], percent),
            " ".join(percent(value) for value in row["by_seed"].values()),
            *(percent(row[key]) for key in ("sampled", "val", "val_best_checkpoint")),
        ]
        for row in env["leaderboard"]
    ]
    return table(head, rows)


def _pairs(env: Row) -> str:
    head = ["a", "b", "verdict", "a − b", "95 % interval", "p (t, Holm)", "p (TOST, Holm)",
            "p (sign flips)"]  # fmt: skip
    rows = [
        [
            pair["a"],
            pair["b"],
            f"**{pair['verdict']}**",
            points(pair["difference"]["value"]),
            _interval(pair["difference"], points),
            _p(pair["t_test"], "p_holm"),
            _p(pair["equivalence"], "p_holm"),
            f"{_p(pair['sign_flip'], 'p')} (floor {_p(pair['sign_flip'], 'floor')})",
        ]
        for pair in env["pairs"]
    ]
    return table(head, rows)


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
    return table(["setting", *arms, "kind"], rows) if rows else "Nothing."


def _stability(env: Row) -> str:
    head = ["arm", "runs", "stable", "warned", "collapsed", "collapse rate, 95 %", "worst dip"]
    rows = [
        [
            *(str(row[key]) for key in ("arm", "runs", "stable", "warned", "collapsed")),
            _interval(row["collapse_rate"], percent),
            percent(row["worst_dip"]),
        ]
        for row in env["stability"]
    ]
    return table(head, rows)


def _ledger(env: Row) -> str:
    rows = env["ledger"]
    names = list(rows[0]["counts"]) if rows else []
    return table(
        ["arm", *(name.replace("_", " ") for name in names)],
        [[row["arm"], *(_count(row["counts"][name]) for name in names)] for row in rows],
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
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
        value = percent(found["value"]).replace("–", "--")
        span = "--" if found["low"] is None else _interval(found, percent).replace(" to ", "--")
        cells.append(f"{value} & {span}")
    return f"{tex(arm)} & {' & '.join(cells)} \\\\"
