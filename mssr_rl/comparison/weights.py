"""Check the checkpoints of runs against their hashes, and against the other files of the run."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mssr_rl import untrusted
from mssr_rl.comparison.evidence import ComparedRun, Evidence
from mssr_rl.comparison.outcome import Outcome
from mssr_rl.errors import UserError
from mssr_rl.run import checkpoint

FEW = 4  # names that are listed


def check_weights(evidence: Evidence) -> Outcome:
    """Check all checkpoints of the runs that the verdict uses; return faults and checked things."""
    faults: list[str] = []
    without: list[str] = []
    unrecorded: list[str] = []
    files = 0
    for run in (run for run in evidence.runs if run.counts):
        folder = evidence.folder / "runs" / run.name / "checkpoints"
        damage = {one: checkpoint.fault(one) for one in checkpoint.newest_first(folder)}
        where = f"runs/{run.name}/checkpoints"
        faults += [f"{where}/{one.name}: {why}" for one, why in damage.items() if why]
        whole = [one for one, why in damage.items() if not why]
        faults += [f"{where}/{fault}" for fault in _faults(run, whole)]
        files += sum(len(untrusted.read_object(one / "manifest.json", within=one)) for one in whole)
        if final(run, folder) is None:
            without.append(run.name)
        elif _recorded(run) is None:
            unrecorded.append(run.name)
    checked = (f"{files:,} files of checkpoints have the hashes in their manifests",)
    unchecked = [
        f"{what}: {', '.join(names[:FEW])}{f' and {len(names) - FEW} more' * (len(names) > FEW)}"
        for what, names in (
            ("the final weights, which are not in the folder", without),
            ("that the final weights are those of the run, whose record does not say", unrecorded),
        )
        if names
    ]
    return Outcome(tuple(faults), checked if files else (), tuple(unchecked))


def final(run: ComparedRun, folder: Path) -> Path | None:
    """Return the folder of a run's last checkpoint, valid or not; None if there is none.

    The last checkpoint is that of the run's last step.
    """
    last = run.files.last_step if run.files else 0
    path = folder / f"step_{last}"
    return path if (path / "policy").is_dir() else None


def _faults(run: ComparedRun, whole: Sequence[Path]) -> Iterator[str]:
    """Yield a sentence for each valid checkpoint that does not fit this run.

    `whole` are the checkpoints whose files have the right hashes.
    """
    last, known = run.files.last_step if run.files else 0, _recorded(run)
    for one in whole:
        try:
            yield from (f"{one.name}: {fault}" for fault in _state_faults(run, one))
        except (LookupError, TypeError, ValueError, UserError) as error:
            yield f"{one.name}: state.json is not as training writes it: {error!r:.200}"
        step = checkpoint.step_of(one)
        if step > last:
            yield f"{one.name}: the run has {last} steps"
        if step == last and known is not None and checkpoint.seal_of(one) != known:
            yield f"{one.name} is not the checkpoint that the run ended with"


def _state_faults(run: ComparedRun, one: Path) -> Iterator[str]:
    """Yield faults of a checkpoint's state.json: a wrong step, or other scores than eval.jsonl."""
    state = untrusted.read_object(one / "state.json", within=one)
    if state.get("step") != checkpoint.step_of(one):
        yield f"it is the checkpoint of step {state.get('step')!s:.20}, renamed"
    kept = {(row["split"], row["step"]): row for row in run.evaluations}
    for score in state.get("scores", []):
        row = kept.get((score["split"], score["step"]))
        if row is None or row["accuracy"] != score["accuracy"]:
            yield (
                f"it was scored {score['accuracy']:.6g} on {score['split']} at step "
                f"{score['step']}, eval.jsonl says otherwise"
            )


def _recorded(run: ComparedRun) -> str | None:
    """Return the hash of the final checkpoint's manifest from run.json; None if there is none."""
    known = run.files.run.get("final_checkpoint") if run.files else None
    return known.get("manifest") if isinstance(known, dict) else None
