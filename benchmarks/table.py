"""Write tables that are readable on a terminal and are valid Markdown."""

from collections.abc import Sequence

Cell = str | int | float | None


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return the table, with the first column left-aligned and all others right-aligned."""
    texts = [list(header), *([text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(header))]
    rule = ["-" * width + ":" if i else "-" * width for i, width in enumerate(widths)]
    head, *body = [_line(row, widths) for row in texts]
    return "\n".join([head, f"| {' | '.join(_narrow(rule))} |", *body])


def text(cell: Cell) -> str:
    """Return the text of a cell: three significant digits, separated thousands, a dash for None."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:#.3g}".removesuffix(".")


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(w) if not i else cell.rjust(w) for i, (cell, w) in _paired(row, widths)
    )
    return f"| {' | '.join([first, *others])} |"


def _paired(row: Sequence[str], widths: Sequence[int]) -> "enumerate[tuple[str, int]]":
    return enumerate(zip(row, widths, strict=True))


def _narrow(rule: Sequence[str]) -> list[str]:
    """Return the rule below the heading, with the colon of a column in place of one dash."""
    return [mark[1:] if mark.endswith(":") and len(mark) > 2 else mark for mark in rule]
