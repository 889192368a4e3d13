"""Tables are aligned, and their numbers have three significant digits."""

import pytest

from benchmarks.table import table, text


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (None, "–"), ("ours", "ours"), (7, "7"), (1_000_000, "1,000,000"), (0.0, "0.00"),
        (0.01234, "0.0123"), (1.0, "1.00"), (99.94, "99.9"), (100.4, "100"), (1234.5, "1,234"),
    ],
)  # fmt: skip
def test_a_cell_says_what_is_significant(cell: str | float | None, shown: str) -> None:
    assert text(cell) == shown


def test_a_table_is_markdown_with_columns_as_wide_as_they_need() -> None:
    assert table(("arm", "samples/s"), [("grpo", 512.0), ("mssr", None)]) == (
        "| arm  | samples/s |\n| ---- | --------: |\n| grpo |       512 |\n| mssr |         – |"
    )
