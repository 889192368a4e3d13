"""Let the final checkpoints answer the test split again: `report verify=FOLDER deep=true`.

The check loads the final policy of each run, and scores it with the same problems, prompts and
seeds as the run did. On the local engine, with the torch version and the kernels of the run, every
answer must be the same. Otherwise rounding changes some answers; `FLIPS` and `ODDS` set how many
changes are allowed. Results are kept in the user's cache, never in the comparison's folder. So an
interrupted check can continue. The name of a cached result is the hash of everything it depends on.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from scipy.stats import binomtest

from mssr_rl import files, untrusted
from mssr_rl.budget import Ledger
from mssr_rl.comparison import weights
from mssr_rl.comparison.accuracy import GREEDY, SAMPLED
from mssr_rl.comparison.evidence import ComparedRun, Evidence
from mssr_rl.comparison.outcome import Outcome
from mssr_rl.comparison.rerun import NotHere, Reruns
from mssr_rl.config import Config, to_dict
from mssr_rl.config.recorded import NO_WORDS
from mssr_rl.envs import ProblemEnv
from mssr_rl.report.runfiles import Row
from mssr_rl.report.text import duration
from mssr_rl.run import checkpoint, provenance, scoring
from mssr_rl.run.arm import MakeEngine, eval_plan
from mssr_rl.run.scoring import Evaluation

SPLIT = "test"
# Other kernels change the last digits of a token's probability. A greedy answer changes if two
# tokens were that close. Our float32 kernels and torch's gave the same 864 answers of the tiny
# model (12 runs, 24 problems, 3 answers each); bfloat16 is known to change some answers.
FLIPS = 0.05  # this share of the problems may change between right and wrong
ODDS = 0.001  # a change in one direction that is less likely by chance is not rounding
ANSWERED_WITH = ("env", "engine", "train", "rollout", "eval", "seed", "cluster")  # config keys
REPORT_EVERY = 20.0  # seconds between two lines of progress


class Again(NamedTuple):
    """The answers of a run's final policy: the recorded ones, and those computed again."""

    then: Row  # the object of eval.jsonl
    now: Row
    said_then: Mapping[str, str]  # recorded greedy responses, by problem
    said_now: Mapping[str, str]


class AnswerableRun(NamedTuple):
    """A run whose answers can be computed again, with its environment and final checkpoint."""

    run: ComparedRun
    config: Config
    env: ProblemEnv
    folder: Path  # the final checkpoint
    row: Row


def check_answers(
    evidence: Evidence, words: Mapping[str, str] = NO_WORDS, make_engine: MakeEngine | None = None
) -> Outcome:
    """Compute the answers again for every run that counts and has its final weights in the folder.

    Return the faults, the runs that were checked, and the runs that could not be checked.
    """
    reruns = Reruns(evidence, words)
    faults: list[str] = []
    checked: list[str] = []
    unchecked: list[str] = []
    runs = [run for run in evidence.runs if run.counts]
    for number, run in enumerate(runs, 1):
        try:
            subject = _subject(run, reruns)
        except NotHere as why:
            unchecked.append(f"the answers of {run.name}: {why}")
            continue
        _say(f"deep         {number} of {len(runs)}: {run.name}, {_size(subject)}")
        start = monotonic()
        again = _answered(subject, make_engine)
        fault, finding = compared(again, exact=_same_arithmetic(subject))
        faults += [f"runs/{run.name}: {fault}"] if fault else []
        checked += [f"{run.name} {finding}"] if not fault else []
        _say(f"deep         {run.name} {fault or finding} ({duration(monotonic() - start)})")
    return Outcome(tuple(faults), tuple(checked), tuple(unchecked))


def compared(again: Again, *, exact: bool) -> tuple[str, str]:
    """Compare recorded and new answers; return (fault, finding), of which one is empty.

    With `exact`, every difference is a fault. Pure function.
    """
    now, then = again.now, again.then
    if list(now[GREEDY]) != list(then[GREEDY]):
        return "it was scored on other problems than its final weights answer now", ""
    different = [key for key in then[GREEDY] if now[GREEDY][key] != then[GREEDY][key]]
    reworded = [key for key, text in again.said_then.items() if again.said_now[key] != text]
    sampled = [key for key in then[SAMPLED] if now[SAMPLED][key] != then[SAMPLED][key]]
    n = len(then[GREEDY])
    if not (different or reworded or sampled):
        return "", f"answers all {n:,} problems as before, greedy and sampled"
    what = (
        f"{len(different):,} of {n:,} greedy answers, {len(sampled):,} of {n:,} problems sampled "
        f"and {len(reworded):,} of {len(again.said_then):,} recorded responses come out otherwise"
    )
    if exact:
        first = next(iter([*different, *reworded, *sampled]))
        return (
            f"its final weights do not answer {SPLIT} as recorded: {what}; first {first!s:.60}",
            "",
        )
    return _within_rounding(again, different, what)


def _within_rounding(again: Again, different: list[str], what: str) -> tuple[str, str]:
    """Return (fault, finding) for answers that may differ by rounding.

    There is no fault if few greedy answers changed, about equally often in both directions. The
    number of right sampled answers may differ by chance.
    """
    n = len(again.then[GREEDY])
    won = sum(again.now[GREEDY][key] for key in different)
    odds = binomtest(won, len(different)).pvalue if different else 1.0
    drawn = sum(again.now[SAMPLED].values()) - sum(again.then[SAMPLED].values())
    answers = n * again.then["samples"]
    share = sum(again.then[SAMPLED].values()) / answers
    spread = max(
        1.0, (2 * answers * share * (1 - share)) ** 0.5
    )  # sd of the difference of two draws
    if len(different) > FLIPS * n or odds < ODDS or abs(drawn) > 4 * spread:
        return f"its final weights do not answer {SPLIT} as recorded, beyond rounding: {what}", ""
    return "", f"answers {SPLIT} as before up to rounding, with another arithmetic: {what}"


# ---- one run ----


def _subject(run: ComparedRun, reruns: Reruns) -> AnswerableRun:
    row = run.last(SPLIT)
    if row is None or run.files is None or row["step"] != run.files.last_step:
        raise NotHere(f"it was not scored on {SPLIT} at its end")
    folder = weights.final(run, reruns.evidence.folder / "runs" / run.name / "checkpoints")
    if folder is None:
        raise NotHere("its final weights are not in the folder")
    config = reruns.config(run)
    model = replace(config.model, path=str(folder / "policy"))
    env = reruns.problems(run, SPLIT)
    return AnswerableRun(run, replace(config, model=model), env, folder, row)


def _answered(subject: AnswerableRun, make_engine: MakeEngine | None) -> Again:
    """Return the recorded answers and the new ones.

    New answers are read from the cache, or computed and stored there.
    """
    cached = _cache(subject)
    now = _kept(cached) if cached else None
    if now is None:
        now = _asked(subject, make_engine)
        if cached:
            cached.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.write_json(cached, now)
    samples = subject.run.files.samples if subject.run.files else ()
    recorded = {
        str(row["key"]): str(row["response"])
        for row in samples
        if row.get("split") == SPLIT and row["step"] == subject.row["step"]
    }
    return Again(
        subject.row, now, recorded, {key: now["responses"].get(key, "") for key in recorded}
    )


def _asked(subject: AnswerableRun, make_engine: MakeEngine | None) -> dict[str, Any]:
    """Load the policy and evaluate it; return the evaluation's record and its greedy responses."""
    if make_engine is None:
        from mssr_rl import engine as engines

        make_engine = engines.make_engine
    plan = eval_plan(subject.config)
    with closing(make_engine(subject.config)) as engine:
        poll = _poll(subject, plan.at_once)
        evaluation = scoring.evaluate(engine, subject.env, plan, subject.row["step"], poll)
    return {
        **scoring.evaluation_record(evaluation, Ledger()),
        "responses": dict(_responses(evaluation)),
    }


def _responses(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    yield from ((sample.problem.key, sample.response) for sample in evaluation.greedy)


def _poll(subject: AnswerableRun, at_once: int) -> Callable[[], None]:
    """Return a function that prints the progress, for the engine to call again and again."""
    n, k = int(subject.row["n"]), int(subject.row["samples"])
    portions = -(-n // max(1, at_once)) + -(-n // max(1, at_once // k))
    done, said = 0, monotonic()

    def poll() -> None:
        nonlocal done, said
        if monotonic() - said > REPORT_EVERY:
            said = monotonic()
            _say(f"deep         {subject.run.name}: {100 * done / portions:.0f} %")
        done += 1

    return poll


def _size(subject: AnswerableRun) -> str:
    answers = 1 + int(subject.row["samples"])
    return f"{subject.row['n']:,} problems of {SPLIT}, {answers} answers each"


# ---- the same arithmetic, and what is kept ----


def _same_arithmetic(subject: AnswerableRun) -> bool:
    """Return whether this machine computes exactly the same numbers as the run did.

    This needs the local engine, and the run's torch version and kernels.
    """
    then = subject.run.files.run if subject.run.files else {}
    machine = provenance.machine()
    torch = (then.get("versions", {}).get("torch"), provenance.versions()["torch"])
    kernels = (then.get("machine", {}).get("kernels"), machine["kernels"])
    local = subject.config.engine.name == "local"
    return local and torch[0] == torch[1] and kernels[0] == kernels[1]


def _cache(subject: AnswerableRun) -> Path | None:
    """Return the path of the cache file, named after a hash of all that the answers depend on.

    These are the weights, the problems, the config, the code and the machine. None if the source
    code differs from its commit, because then the commit does not identify the code.
    """
    revision = provenance.git_revision()
    if revision is not None and revision["changed"]:
        return None
    config = to_dict(subject.config)
    depends = [
        checkpoint.seal_of(subject.folder),
        subject.env.fingerprint(),
        {
            key: config[key]
            for key in ("env", "engine", "train", "rollout", "eval", "seed", "cluster")
        },
        subject.row["step"],
        [revision, provenance.versions(), provenance.machine()],
    ]
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True, default=str).encode()).hexdigest()
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "mssr_rl" / "answered" / f"{digest}.json"


def _kept(path: Path) -> dict[str, Any] | None:
    try:
        return untrusted.read_object(path)
    except (FileNotFoundError, untrusted.Unusable):
        return None


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
