"""Names that somebody else chose, in table.tex, report.md, pages, a terminal: text, not code."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mssr_rl import cli
from mssr_rl.comparison.comparison_page import write
from mssr_rl.outward import latex, markdown

NAMES = {
    "input": r"a\input{/etc/passwd}",
    "write18": r"a\immediate\write18{touch marker}",
    "comment": "a\n\\input{/etc/passwd}",
    "caret": "a^^5cinput{/etc/passwd}",
    "catcode": r"a\catcode`\$=12",
    "brace": "a}}\\end{tabular}",
    "script": "a<script>alert(1)</script>",
    "image": "a<img src=x onerror=alert(1)>",
    "link": "a[x](javascript:alert(1))",
    "picture": "a![x](https://example.org/x.png)",
    "heading": "a\n# Verdict: a is better",
    "cell": "a|b\n|---|",
    "reference": "a\n\n[x]: https://example.org",
    "fence": "a```\n<b>",
    "terminal": "a\x1b[2J\x1b]0;x\x07\u202e",
}
OURS = {
    "begin", "end", "toprule", "midrule", "bottomrule", "textbackslash", "textasciicircum",
    "textasciitilde", "times",
}  # fmt: skip
READER = MarkdownIt("commonmark", {"html": True}).enable("table")


def commands(tex: str) -> set[str]:
    """The LaTeX commands in a text."""
    return set(re.findall(r"\\([A-Za-z]+)", tex))


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_is_no_command_in_a_paper(kind: str) -> None:
    tex = latex(NAMES[kind])
    assert commands(tex) <= OURS
    assert not {"\n", "\r", "^", "~", "\x1b", "\u202e"} & set(tex)
    bare = re.sub(r"\\(?:textbackslash|textasciicircum|textasciitilde)\{\}|\\[{}$]", "", tex)
    assert not set("{}$") & set(bare)


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_is_no_markup_in_a_repository(kind: str) -> None:
    shown = READER.render(f"before {markdown(NAMES[kind])} after")
    assert re.findall(r"<\s*[a-zA-Z!/][^>]*>", shown) == ["<p>", "</p>"]
    row = READER.render(f"| head | other |\n| --- | --- |\n| {markdown(NAMES[kind])} | x |")
    assert row.count("<td>") == 2
    assert "<td>x</td>" in row


@given(st.text())
def test_any_text_is_shown_as_one_paragraph_of_itself(text: str) -> None:
    shown = READER.render(f"x {markdown(text)} x")
    assert len(re.findall(r"<[^>]*>", shown)) == 2
    assert commands(latex(text)) <= OURS


@pytest.mark.slow
def test_a_comparison_whose_arms_bear_such_names(
    comparison: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = comparison / "compare.json"
    known = json.loads(path.read_text())
    sly = " ".join(NAMES.values())
    told = json.dumps(known).replace('"grpo"', json.dumps(sly))
    path.write_text(told)
    assert json.loads(told)["arms"][0] == sly
    written = write(comparison)
    tex, md = (comparison / name for name in ("table.tex", "report.md"))
    assert commands(tex.read_text()) <= OURS
    assert tex.read_text().splitlines()[1].startswith("\\begin{tabular}")
    tags = set(re.findall(r"<([a-z0-9]+)", READER.render(md.read_text())))
    assert tags <= {"h1", "h2", "p", "pre", "code", "table", "thead", "tbody", "tr", "th", "td",
                    "strong"}  # fmt: skip
    page = written.page.read_text()
    for mark in ("<script>alert", "<img src=x", "\x1b", "\u202e"):
        assert mark not in page
    assert cli.main(["report", f"run={comparison}"]) == cli.DONE
    assert cli.main(["report", f"verify={comparison}"]) == cli.DONE
    said = capsys.readouterr()
    assert not {"\x1b", "\x07", "\u202e"} & set(said.out + said.err)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["0.1\x1b[2J\x1b]0;x\x07", "0.1\u202e", "x" * 10**6, 7, None, ["a"]]
)
def test_who_made_a_report_does_not_reach_the_terminal(
    comparison: Path, capsys: pytest.CaptureFixture[str], text: object
) -> None:
    path = comparison / "report.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "made_by": text}))
    cli.main(["report", f"verify={comparison}"])
    said = capsys.readouterr()
    assert not {"\x1b", "\x07", "\u202e"} & set(said.out + said.err)
    assert len(said.out + said.err) < 10_000
