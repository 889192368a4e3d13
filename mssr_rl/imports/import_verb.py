"""Import a run of another trainer into a comparison.

    python -m mssr_rl import FILE comparison=FOLDER name=... rollouts_per_step=N

import experiment_log.jsonl comparison=comparisons/two name="GRPO, EasyR1" rollouts_per_step=2560
import trainer_state.json comparison=comparisons/two name=TRL rollouts_per_step=64

The report of the comparison is written again, with the curves of the imported run.
"""

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mssr_rl import untrusted
from mssr_rl.comparison import imported
from mssr_rl.comparison.comparison_page import write
from mssr_rl.config.words import file_name, parse_words
from mssr_rl.errors import UserError
from mssr_rl.imports import naming, readers
from mssr_rl.typed import Bound, option


@dataclass(frozen=True, kw_only=True)
class ImportWords:
    """The arguments of `import`."""

    file: str = file_name(
        "what the other trainer wrote: .jsonl, trainer_state.json, .csv, or events"
    )
    comparison: str = option("the comparison's folder")
    # EasyR1: rollout_batch_size x rollout.n; verl: train_batch_size x rollout.n; TRL: the
    # completions of one optimiser step.
    rollouts_per_step: int = option(
        "responses sampled between two steps of the file, which place it beside other runs",
        bound=Bound("at least 1 and at most 1e9", 1, 10**9),
    )
    name: str | None = option("the run's name in the report; null: the file's name", None)
    step: str | None = option("the column of the step in the file; null: the usual names", None)
    reward: str | None = option("the column of the mean training reward", None)
    accuracy: str | None = option("the column of accuracy on validation", None)
    entropy: str | None = option("the column of the policy's entropy [nat]", None)
    kl: str | None = option("the column of the KL to the reference [nat]", None)
    length: str | None = option("the column of the mean response length [token]", None)
    truncated: str | None = option("the column of the share cut off at the limit", None)
    gradient: str | None = option("the column of the gradient's norm", None)
    clipped: str | None = option("the column of the share of clipped ratios", None)


def import_run(arguments: Sequence[str]) -> str:
    """Import one run; return the mapping of its metrics, and the path of the report."""
    words = _read(arguments)
    path = Path(words.file)
    folder = Path(words.comparison)
    compare = folder / "compare.json"
    recorded = readers.read_log(path, words.step)
    named = {word: name for word in naming.METRICS if (name := getattr(words, word))}
    source = naming.chosen(recorded.names, named)
    rows = [
        {
            "step": step,
            **{ours: numbers[theirs] for ours, theirs in source.items() if theirs in numbers},
        }
        for step, numbers in recorded.rows.items()
    ]
    about = imported.About(
        name=words.name or re.sub(r"\.\w+$", "", path.name),
        format=recorded.format,
        file=path.name,
        sha256=_hash(path),
        rollouts_per_step=words.rollouts_per_step,
        source=source,
    )
    before = imported.place(folder, about.name, untrusted.read_object(compare)["arms"])
    imported.save(before, about, [row for row in rows if len(row) > 1])
    try:
        page = write(folder).page
    except Exception:
        shutil.rmtree(before)  # a run that cannot be drawn must not block later reports
        raise
    taken = ", ".join(f"{theirs} as {ours}" for ours, theirs in source.items())
    return f"{path.name}: {recorded.format}, {len(rows)} steps; {taken}\nreport  {page}"


def _read(arguments: Sequence[str]) -> ImportWords:
    words = parse_words(ImportWords, arguments)
    if not (Path(words.comparison) / "compare.json").exists():
        raise UserError(
            f"comparison={words.comparison}: name the folder of a comparison, which holds a "
            "compare.json"
        )
    return words


def _hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files of a folder in the order of their names."""
    if not path.is_dir():
        return untrusted.sha256(path)
    digest = hashlib.sha256()
    for file in (file for file in sorted(path.iterdir()) if file.is_file()):
        digest.update(untrusted.content(file, readers.FILE_BYTES))
    return digest.hexdigest()
