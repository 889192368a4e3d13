"""Check that a config.yaml is plain YAML before it is parsed: a run folder may come from anybody.

The config that we write is small, flat and literal. A file that is large or deep, or that uses
tags, aliases or interpolation, was not written by us. It is refused before OmegaConf reads it,
because OmegaConf would resolve or multiply these.
"""

from pathlib import Path
from typing import Any

from mssr_rl import untrusted
from mssr_rl.errors import UserError

MAX_BYTES = 200_000
FILE_BYTES = 2**24  # far above MAX_BYTES, so that a long file gets the message about its length
MAX_DEPTH = 20


def text(path: Path) -> str:
    """Return the file's text. Raises UserError if it is missing or not plain YAML."""
    try:
        content = untrusted.text(path, FILE_BYTES)
    except FileNotFoundError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if (reason := unsafe(content)) is not None:
        raise UserError(f"{path} is refused: {reason}; training does not write such a config")
    return content


def unsafe(content: str) -> str | None:
    """Return the reason why a text is not plain YAML; None if it is plain.

    No object is built from the text.
    """
    import yaml  # type: ignore[import-untyped]

    if len(content) > MAX_BYTES:
        return f"it is longer than {MAX_BYTES:,} characters"
    depth = 0
    try:
        for event in yaml.parse(content, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                return f"it is nested more than {MAX_DEPTH} levels deep"
            if (reason := _odd(event)) is not None:
                return reason
    except (yaml.YAMLError, RecursionError) as error:
        return f"it is not YAML ({' '.join(str(error).split())[:200]})"
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
