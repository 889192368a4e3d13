"""A run folder's config.yaml, looked at before it is read: a run folder may come from anybody.

What we write is small, flat and literal. A file that is large, deep, or uses what YAML can do
beyond that (tags, aliases, interpolation) was not written by us; it is refused before OmegaConf
sees it, which would resolve or multiply them.
"""

from pathlib import Path
from typing import Any

from mssr_rl import untrusted
from mssr_rl.errors import UserError

MAX_BYTES = 200_000
FILE_BYTES = 2**24  # more than will do: what is longer in characters is refused by name
MAX_DEPTH = 20


def text(path: Path) -> str:
    """The file's text, if it is plain."""
    try:
        found = untrusted.text(path, FILE_BYTES)
    except FileNotFoundError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if (reason := unsafe(found)) is not None:
        raise UserError(f"{path} is refused: {reason}; a config that training wrote holds none")
    return found


def unsafe(found: str) -> str | None:
    """Why a text is not the plain YAML that we write; None if it is. No object is made of it."""
    import yaml  # type: ignore[import-untyped]

    if len(found) > MAX_BYTES:
        return f"it is longer than {MAX_BYTES:,} characters"
    depth = 0
    try:
        for event in yaml.parse(found, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                return f"it is nested more than {MAX_DEPTH} levels deep"
            if (reason := _odd(event)) is not None:
                return reason
    except (yaml.YAMLError, RecursionError) as error:
        return f"it is no YAML ({' '.join(str(error).split())[:200]})"
    return None


def _odd(event: Any) -> str | None:
    import yaml

    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        return "it uses anchors and aliases"
    if getattr(event, "tag", None):
        return f"it uses the tag {event.tag[:80]}"
    if isinstance(event, yaml.ScalarEvent) and "${" in event.value:
        return "it uses ${...} interpolation"
    if isinstance(event, yaml.ScalarEvent) and event.value == "_target_":
        return "it names code to call, with _target_"
    return None
