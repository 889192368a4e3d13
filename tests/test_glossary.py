"""The glossary: sorted, one line each, and of words that the documents use."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text("utf-8")
TERMS = re.findall(r"^\* \*\*(.+?)\*\*: ", GLOSSARY, re.MULTILINE)


def test_every_entry_is_one_line_and_they_are_in_order() -> None:
    assert len(TERMS) > 30
    assert sorted(set(TERMS)) == TERMS
    entries = [line for line in GLOSSARY.splitlines() if line and not line.startswith("#")][1:]
    assert all(re.fullmatch(r"\* \*\*.+?\*\*: .+[.;]?.*", line) for line in entries)
    assert max(map(len, entries)) <= 130


def test_every_term_stands_in_another_document_or_in_the_code() -> None:
    pages = [p for p in (ROOT / "docs").glob("*.md") if p.name != "glossary.md"]
    code = [p for folder in ("mssr_rl", "tiny_model") for p in (ROOT / folder).rglob("*.py")]
    sources = [*pages, ROOT / "README.md", *code]
    text = "\n".join(path.read_text("utf-8").lower() for path in sources)
    assert [term for term in TERMS if term.lower() not in text] == []


def test_the_readme_leads_to_it() -> None:
    assert "(docs/glossary.md)" in (ROOT / "README.md").read_text("utf-8")
