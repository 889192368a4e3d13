"""Write report.md (for a repository) and table.tex (for a paper) from report.json. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from mssr_rl.comparison import columns
from mssr_rl.comparison.accuracy import LeaderboardRow, PairRow
from mssr_rl.comparison.columns import CellStyle
from mssr_rl.comparison.health import StabilityRow
from mssr_rl.outward import latex, plain
from mssr_rl.outward import markdown as md
from mssr_rl.text_table import markdown_table

Row = Mapping[str, Any]


class Strong(str):
    """A text that was written by this program and is printed bold in a table."""

    __slots__ = ()


def markdown(report: Mapping[str, Any]) -> str:
    """Return the text of report.md."""
    looks = report["looks"]
    command = " ".join(plain(" ".join(report["command"])).split())  # in a block, all is literal
    parts = [
        f"# Comparison\n\n{md(report['verdict'])}",
        *map(md, (looks["says"], *looks["cautions"])),
    ]
    parts += [f"    {command}"]
    for env in report["envs"]:
        parts += [f"## {md(env['env'])}", *_environment(env, report["arms"])]
    if "maps" in report:
        parts += _maps(report["maps"])
    return "\n\n".join(part for part in parts if part) + "\n"


def tabular(report: Mapping[str, Any]) -> str:
    """Return the text of table.tex: a LaTeX table for the package booktabs.

    It has one row per arm. Each environment has two columns: the accuracy and its interval.
    """
    envs = report["envs"]
    heads = " & ".join(f"{latex(env['env'])} & 95\\,\\% interval" for env in envs)
    lines = [
        f"% {latex(report['verdict'])}",
        f"\\begin{{tabular}}{{l{'rr' * len(envs)}}}",
        "\\toprule",
        f"arm & {heads} \\\\",
        "\\midrule",
        *(_tex_row(arm, envs) for arm in report["arms"]),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def percent(value: float | None) -> str:
    """Return a share as a percentage without "%": 0.25 gives "25.00"."""
    return "–" if value is None else f"{100 * value:.2f}"


def points(value: float | None) -> str:
    """Return a difference of shares in percentage points: 0.006 gives "+0.60"."""
    return "–" if value is None else f"{100 * value:+.2f}".replace("-", "−")


def _environment(env: Row, arms: Sequence[str]) -> list[str]:
    split, questions = env["split"], env["questions"]
    return [
        md(env["in_front"]),
        *map(md, env["cautions"]),
        md(
            f"Greedy accuracy in % of the final model, {questions:,} {split} problems, {env['at']}."
        ),
        "The interval is over seeds.",
        rows(LeaderboardRow, env["leaderboard"]),
        "Pairs: a minus b in points, paired by seed. The adjusted p-values decide the verdict.",
        "The fixed-K reading pretends that the present seeds were planned; it decides nothing.",
        rows(PairRow, env["pairs"]),
        "Fairness: settings that differ between the arms.",
        _fairness(env, arms),
        "Stability.",
        rows(StabilityRow, env["stability"]),
        "Spending of one run, on average.",
        _ledger(env),
    ]


def rows(kind: type[Any], rows_of_document: Sequence[Row]) -> str:
    """Return rows of report.json as a Markdown table.

    `kind` is the dataclass of the rows; its fields declare the columns.
    """
    shown, style = columns.shown(kind), CellStyle(percent, percent, points, Strong)
    cells = [
        [cell for one in shown for cell in columns.cells(row, one, style)]
        for row in rows_of_document
    ]
    return table(columns.heads(shown), cells)


def _maps(maps: Row) -> list[str]:
    """Return the section about swept keys: the effects of a screening, and every cell."""
    parts = ["## Swept keys"]
    if maps["effects"]:
        effects = [
            [row["group"], row["env"], row["key"], *row["values"], *_effect(row["accuracy"]),
             *_effect(row["collapsed"])]
            for row in maps["effects"]
        ]  # fmt: skip
        head = ["arms", "on", "key", "from", "to", "accuracy", "95 %", "collapsed", "95 %"]
        parts += ["Main effects in points, by least squares over runs.", table(head, effects)]
    cells = [
        [cell["arm"], cell["env"], " ".join(f"{k}={v}" for k, v in cell["values"].items()),
         percent(cell["accuracy"]), f"{cell['collapsed'].get('any', 0)} of {cell['runs']}",
         ", ".join(cell["missing"]) or "–"]
        for cell in maps["cells"]
    ]  # fmt: skip
    return [*parts, table(["arm", "on", "values", "accuracy", "collapsed", "missing runs"], cells)]


def _effect(effect: Row) -> list[str]:
    return [points(effect["value"]), columns.interval_text(effect, points)]


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


def _ledger(env: Row) -> str:
    rows = env["ledger"]
    names = list(rows[0]["counts"]) if rows else []
    return table(
        ["arm", *(name.replace("_", " ") for name in names)],
        [[row["arm"], *(_count(row["counts"][name]) for name in names)] for row in rows],
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; Markdown characters in the cells are escaped."""
    return markdown_table(list(map(_cell, head)), [list(map(_cell, row)) for row in rows])


def _cell(content: object) -> str:
    """Return the content of a cell with Markdown characters escaped; a `Strong` text is bold."""
    return f"**{md(content)}**" if isinstance(content, Strong) else md(str(content))


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _tex_row(arm: str, envs: Sequence[Row]) -> str:
    cells = []
    for env in envs:
        row = next((row for row in env["leaderboard"] if row["arm"] == arm), None)
        accuracy = row["accuracy"] if row else {"value": None, "low": None, "high": None}
        value = percent(accuracy["value"]).replace("–", "--")
        span = columns.interval_text(accuracy, percent).replace(" to ", "--").replace("–", "--")
        cells.append(f"{value} & {span}")
    return f"{latex(arm)} & {' & '.join(cells)} \\\\"
