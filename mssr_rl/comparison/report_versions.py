"""Every version of the report that this program can verify, and how.

The number stands in report.json: `version`, in the first one `format`. Whoever edits a page can
write another number there too. So the number only chooses what the folder is held against: nothing
is left unchecked because of it, and a folder whose number is not listed here is never verified.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mssr_rl.comparison import comparison_page, document, version_1
from mssr_rl.comparison.evidence import Evidence
from mssr_rl.errors import RunFailed

Document = Mapping[str, Any]


class Version(NamedTuple):
    """How a version said what the runs say."""

    sources: Callable[[Mapping[str, str]], Mapping[str, str]]  # which files it was made from
    document: Callable[[Evidence, Document], dict[str, Any]]  # from today's document
    contents: Callable[[Evidence, Document], dict[str, bytes]]  # its files, from its document


VERSIONS: Mapping[int, Version] = {
    1: Version(version_1.sources, version_1.document, version_1.contents),
    document.VERSION: Version(dict, lambda _, now: dict(now), comparison_page.contents),
}


def version_of(said: Document) -> int:
    """The version that a report.json names.

    Raises:
        RunFailed: this program does not know it, so it cannot tell whether the report holds.
    """
    number = said.get("version", said.get("format"))
    if isinstance(number, bool) or not isinstance(number, int) or number not in VERSIONS:
        raise RunFailed(
            f"report.json names version {str(number)[:40]} of the report, and this program knows "
            f"{' and '.join(map(str, VERSIONS))}: nothing was verified. Use the mssr_rl that wrote "
            "it, or draw the report again from its runs with report run=FOLDER"
        )
    return number
