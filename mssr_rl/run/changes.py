"""Finds what changed since a run began: config.yaml, plug-ins, data, program, arithmetic.

A resumed run must continue the same experiment. A change that makes it a different experiment is
refused, unless `accept=` names it. A change that can only move the last digits is printed. Both are
written to run.json under `changes`, and every report shows them.

    plugins, config, data, record     refused unless accepted
    program, arithmetic               printed only
    model                             always refused: the frozen reference would be different
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import untrusted
from mssr_rl.config import recorded
from mssr_rl.config.recorded import Changed
from mssr_rl.errors import UserError
from mssr_rl.run import plugin_sources

ASIDE = "run.json.unreadable"
SHOWN = 8  # edited settings that a message lists
LAYOUT = "layout"  # a harmless change of a file: it is printed, and not recorded


class Change(NamedTuple):
    """One thing that changed since the run began."""

    what: str
    says: str


def read_record(folder: Path, accept: Sequence[str]) -> tuple[dict[str, Any], list[Change]]:
    """Return the content of run.json, and the changes that reading it revealed.

    A missing file was lost, or the run was killed before it was written. Then the run cannot be
    compared with its start, and a `Change` says so. Raises `UserError` if the file cannot be read
    and `accept` does not name `record`.
    """
    path = folder / "run.json"
    try:
        return recorded.document(path), []
    except FileNotFoundError:
        if not _has_begun(folder):
            return {}, []
        lost = "run.json is gone, so what the run began with could not be compared"
        return {}, [Change("record", lost)]
    except UserError as error:
        if "record" not in accept:
            raise UserError(
                f"{error}. Put the file back from a copy; or add accept=[record], which puts it "
                f"aside as {ASIDE} and continues: the run itself is in {folder / 'checkpoints'}, "
                "but what it began with can then no longer be compared"
            ) from error
        lost = f"run.json could not be read and was put aside as {ASIDE}; what the run began with "
        return {}, [Change("record", f"{lost}could not be compared")]


def put_aside(folder: Path) -> None:
    """Rename a run.json that cannot be read; nothing is deleted."""
    try:
        recorded.document(folder / "run.json")
    except FileNotFoundError:
        return
    except UserError:
        (folder / "run.json").rename(folder / ASIDE)


def _has_begun(folder: Path) -> bool:
    stream = folder / "metrics.jsonl"
    return (stream.is_file() and stream.stat().st_size > 0) or (folder / "checkpoints").is_dir()


# ---- what is written down --------------------------------------------------------------------


def config_record(text: bytes, folder: Path) -> dict[str, Any]:
    """Return the entry of run.json about a config.yaml: its hash and its settings.

    The entry also holds the hash of the file that is replaced. If the process is killed between
    writing the two files, the next start must not take the old config.yaml for an edited one.
    """
    path = folder / "config.yaml"
    before = _hash(untrusted.content(path)) if path.is_file() else None
    settings = recorded.parsed(text.decode(), "the config")
    return {"sha256": _hash(text), "before": before, "settings": settings}


def at(step: int, changes: Sequence[Change], accept: Sequence[str]) -> list[Changed]:
    """Return the changes found at the resume after `step`, as entries for run.json.

    `accept` holds the changes that the user accepted.
    """
    return [Changed(step, c.what, c.says, c.what in accept) for c in changes if c.what != LAYOUT]


def lines(changes: Sequence[Change]) -> list[str]:
    """Return the changes as lines of text for the person who resumed the run."""
    text = [f"resume  {change.says}" for change in changes]
    if any(change.what in ("program", "kernels") for change in changes):
        text.append(
            "resume  the run continues correctly, but the last digits of its numbers can differ"
        )
    return text


# ---- what is different -----------------------------------------------------------------------


def between(record: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> list[Change]:
    """Return the differences between `record`, the content of run.json, and `now`.

    Only the keys of `now` are compared.

    Raises:
        UserError: the model or the training problems changed. `accept=` cannot allow this.
    """
    now = json.loads(json.dumps(now))
    return [
        *_config(record, folder),
        *_plugins(record, now),
        *_data(record, now, folder),
        *_program(record, now),
        *_arithmetic(record, now),
    ]


def refuse(changes: Sequence[Change], accept: Sequence[str], folder: Path) -> None:
    """Raise `UserError` if a change needs the user's consent and `accept` does not name it."""
    refused = [change for change in changes if change.what in recorded.ACCEPTABLE[:3]]
    refused = [change for change in refused if change.what not in accept]
    if refused:
        names = dict.fromkeys((*accept, *(change.what for change in refused)))
        raise UserError(
            f"{folder} would not continue as the same run: {'; '.join(c.says for c in refused)}. "
            f"Restore what changed, start a new run under another name, or add "
            f"accept=[{','.join(names)}]: the run then continues, and its reports say so"
        )


def _config(record: Mapping[str, Any], folder: Path) -> Iterator[Change]:
    known, path = _mapping(record.get("config")), folder / "config.yaml"
    if not known:
        return
    if not path.exists():
        yield Change("config", "config.yaml is gone, so run.json's copy of it counts")
        return
    if _hash(untrusted.content(path)) in (known.get("sha256"), known.get("before")):
        return
    try:
        here = recorded.leaves(recorded.whole(path))
    except UserError:
        yield Change("config", "config.yaml cannot be read, so run.json's copy of it counts")
        return
    was = recorded.leaves(_mapping(known.get("settings")))
    keys = [key for key in dict.fromkeys((*was, *here)) if was.get(key) != here.get(key)]
    listed = ", ".join(f"{key}={here.get(key)} (was {was.get(key)})" for key in keys[:SHOWN])
    listed += f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    if keys:
        yield Change("config", f"config.yaml was edited by hand: {listed}")
    else:
        yield Change(LAYOUT, "config.yaml was written again by hand, with the same settings")


def _plugins(record: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    known = record.get("plugins")
    for module, one in _mapping(now.get("plugins")).items():
        if not isinstance(known, Mapping):
            if record:
                yield Change(LAYOUT, f"run.json does not say what the plug-in {module} was")
            continue
        was = _mapping(known.get(module))
        different = plugin_sources.differences(was.get("files"), one["files"])
        if was.get("version") != one["version"]:
            different.append(f"version {was.get('version')} is {one['version']} now")
        if different:
            yield Change("plugins", f"the plug-in {module} was edited: {', '.join(different)}")


def _data(record: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> Iterator[Change]:
    if "model" in record and "model" in now and record["model"] != now["model"]:
        raise UserError(_other("model.path", folder))
    known = _mapping(record.get("data"))
    if not known or "data" not in now:
        return
    splits = now["data"]
    changed = [split for split in splits if _differ(known.get(split), splits[split])]
    if "train" in changed and _other_problems(record, now):
        raise UserError(_other("env.data", folder))
    if changed:
        yield Change("data", f"what env.data names has changed in {', '.join(changed)}")


def _differ(was: Any, now: Mapping[str, Any]) -> bool:
    old = _mapping(was)
    return any(old.get(name) != now[name] for name in ("problems", "fingerprint"))


def _other_problems(record: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether the keys of the training set or their order changed.

    The state of an algorithm refers to problems by row. It would not fit another order.
    """
    was, here = (_mapping(_mapping(one.get("data")).get("train")) for one in (record, now))
    return (
        was.get("problems") != here.get("problems")
        or was.get("keys", here.get("keys")) != here.get("keys")
        or record.get("problem_order") != now.get("problem_order")
    )


def _other(key: str, folder: Path) -> str:
    return (
        f"{folder} cannot be continued: what {key} names is not what the run began "
        "with (see run.json); put it back, or start a new run under another name"
    )


def _program(record: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    was, here = _mapping(record.get("versions")), _mapping(now.get("versions"))
    names = [name for name in here if name in was and was[name] != here[name]]
    parts = [f"{name} {was[name]} → {here[name]}" for name in names]
    revisions = [_mapping(one.get("git")).get("revision") for one in (record, now)]
    if all(revisions) and revisions[0] != revisions[1]:
        parts.append(f"revision {str(revisions[0])[:10]} → {str(revisions[1])[:10]}")
    sources = [_mapping(one.get("program")).get("source") for one in (record, now)]
    if all(sources) and sources[0] != sources[1]:
        parts.append("its source files changed")
    if parts:
        yield Change("program", f"by another program than before: {', '.join(parts)}")


def _arithmetic(record: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    was, here = (_mapping(one.get("machine")).get("kernels") for one in (record, now))
    if was is not None and here is not None and was != here:
        yield Change("kernels", f"other arithmetic than before: was {was}; is {here}")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
