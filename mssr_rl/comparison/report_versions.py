"""The versions of the report that this program can verify.

report.json names its version under the key `version`; version 1 used the key `format`. Somebody who
edits a report can also change this number. So the number only selects the code that checks the
folder. No number skips a check, and a folder with an unknown number is never verified.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mssr_rl.comparison import comparison_page, document, version_1
from mssr_rl.comparison.evidence import Evidence
from mssr_rl.errors import RunFailed

Document = Mapping[str, Any]


class Version(NamedTuple):
    """The functions that make the files of one version of the report."""

    sources: Callable[[Mapping[str, str]], Mapping[str, str]]  # selects the files it is made from
    document: Callable[[Evidence, Document], dict[str, Any]]  # from the document of today
    contents: Callable[[Evidence, Document], dict[str, bytes]]  # {file: content}, from its document


VERSIONS: Mapping[int, Version] = {
    1: Version(version_1.sources, version_1.document, version_1.contents),
    document.VERSION: Version(dict, lambda _, now: dict(now), comparison_page.contents),
}


def version_of(report: Document) -> int:
    """Return the version number of a report.json.

    Raises:
        RunFailed: this program does not know the version, so it cannot verify the report.
    """
    number = report.get("version", report.get("format"))
    if isinstance(number, bool) or not isinstance(number, int) or number not in VERSIONS:
        raise RunFailed(
            f"report.json names version {str(number)[:40]} of the report, and this program knows "
            f"{' and '.join(map(str, VERSIONS))}: nothing was verified. Use the mssr_rl that wrote "
            "it, or draw the report again from its runs with report run=FOLDER"
        )
    return number
