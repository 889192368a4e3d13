"""Check that the raw files of a comparison agree with each other; nothing is run.

So an edit of one file is found, unless the other files were edited to fit. The accuracy of an
evaluation must follow from its problems and agree with summary.json. Recorded answers must agree
with the results of their problems. The ledger must agree with metrics.jsonl, and config.yaml with
compare.json. A value that is missing from a file is not a fault.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise, product
from math import isclose
from typing import Any

from mssr_rl.comparison import accuracy
from mssr_rl.comparison.evidence import DROPPED, ComparedRun, Evidence
from mssr_rl.comparison.outcome import Outcome
from mssr_rl.config import recorded
from mssr_rl.errors import UserError
from mssr_rl.metric_names import REWARD_MEAN, budget_name, failure_share
from mssr_rl.report.runfiles import Row
from mssr_rl.typed import dotted

SPENT = ("rollouts", "prompts", "updates", "generated_tokens", "trained_tokens")
SCORE = ("step", "n", "accuracy", "accuracy_sampled")
NOT_RIGHT = ("wrong", "no_answer", "bad_format", "timeout", "error")
MISSING = object()


def check_consistency(evidence: Evidence) -> Outcome:
    """Check the files of every run against each other, and the runs against compare.json."""
    runs = [run for run in evidence.runs if run.files is not None and run.state != DROPPED]
    faults = [*_matrix(evidence), *_unlisted(evidence)]
    for run in runs:
        where = f"runs/{run.name}"
        for one in (*RUN, partial(_as_compared, evidence=evidence)):
            faults += [f"{where}/{fault}" for fault in _guarded(one, run)]
    rows = sum(len(run.metrics) + len(run.evaluations) for run in runs)
    says = f"{rows:,} rows of metrics.jsonl and eval.jsonl agree with each other and with the rest"
    return Outcome(tuple(faults), checked=(says,))


def _guarded(one: Callable[[ComparedRun], Iterator[str]], run: ComparedRun) -> Iterator[str]:
    """Yield the faults that the check `one` finds in a run.

    If the check fails because a file has an unexpected structure, this is yielded as a fault too.
    """
    try:
        yield from one(run)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        yield f"a file is not as training writes it: {error!r:.200}"
    except UserError as error:
        yield str(error)


# ---- which runs ----


def _matrix(evidence: Evidence) -> Iterator[str]:
    """Check that compare.json lists exactly one run per arm, environment and seed."""
    compare = evidence.compare
    wanted = Counter(product(compare["arms"], compare["envs"], compare["seeds"]))
    listed = Counter((run.arm, run.env, run.seed) for run in evidence.runs)
    for arm, env, seed in (wanted - listed).elements():
        yield f"compare.json lists no run of {arm} on {env} with seed {seed}"
    for arm, env, seed in (listed - wanted).elements():
        yield f"compare.json lists a run of {arm} on {env} with seed {seed} that is not compared"
    names = Counter(run.name for run in evidence.runs)
    yield from (f"compare.json lists {name} {n} times" for name, n in names.items() if n > 1)


def _unlisted(evidence: Evidence) -> Iterator[str]:
    """Yield a fault for each run folder that compare.json does not list.

    Somebody may have removed such a run from the list because of its results.
    """
    folder, listed = evidence.folder / "runs", {run.name for run in evidence.runs}
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    for name in names:
        if name not in listed and (folder / name).is_dir():
            yield f"runs/{name[:100]} is not listed in compare.json: a run that was left out"


# ---- one run ----


def _evaluations(run: ComparedRun) -> Iterator[str]:
    for row in run.evaluations:
        where = f"eval.jsonl: on {row['split']} at step {row['step']}"
        for fault in _evaluation(row):
            yield f"{where} {fault}"


def _evaluation(row: Row) -> Iterator[str]:
    for name, kind in (("accuracy", accuracy.GREEDY), ("accuracy_sampled", accuracy.SAMPLED)):
        value = accuracy.mean_right(row, kind)
        if value is not None and not _close(value, row.get(name)):
            yield f"{name} is {row.get(name)!s:.20}, its problems say {value:.6g}"
    greedy, sampled = row.get(accuracy.GREEDY, {}), row.get(accuracy.SAMPLED)
    if row.get("n") != len(greedy):
        yield f"n is {row.get('n')!s:.20}, there are {len(greedy)} problems"
    if any(right not in (0, 1) for right in greedy.values()):
        yield "an answer is neither right nor wrong"
    if sampled is not None and sampled.keys() != greedy.keys():
        yield "other problems were sampled than answered greedily"
    if any(not 0 <= right <= row["samples"] for right in (sampled or {}).values()):
        yield "more answers are right than were sampled"
    for tag, kinds in row.get("by_tag", {}).items():
        yield from _by_tag(tag, kinds, row)


def _by_tag(tag: str, kinds: Mapping[str, Row], row: Row) -> Iterator[str]:
    """Check that the accuracies by kind of one tag give the accuracy of the whole evaluation.

    `kinds` is {kind: its row}. The check is skipped if some problems do not have the tag.
    """
    n = sum(kind["n"] for kind in kinds.values())
    if n != row["n"]:
        if n > row["n"]:
            yield f"the kinds of {tag} hold {n} of {row['n']} problems"
        return  # some problems do not carry the tag
    for name in ("accuracy", "accuracy_sampled"):
        if all(name in kind for kind in kinds.values()):
            mean = sum(kind["n"] * kind[name] for kind in kinds.values()) / n
            if not _close(mean, row[name]):
                yield f"{name} is {row[name]:.6g}, its kinds of {tag} say {mean:.6g}"


def _same_problems(run: ComparedRun) -> Iterator[str]:
    """Check that all evaluations of a run on one split have the same problems."""
    first: dict[str, set[str]] = {}
    for row in run.evaluations:
        keys = set(row.get(accuracy.GREEDY, {}))
        if row.get("unscorable"):
            continue  # problems without a reward were left out
        if first.setdefault(row["split"], keys) != keys:
            yield f"eval.jsonl: {row['split']} at step {row['step']} has other problems than before"


def _samples(run: ComparedRun) -> Iterator[str]:
    """Check that samples.jsonl and eval.jsonl agree on which greedy answers are right."""
    evaluated = {(row["split"], row["step"]): row[accuracy.GREEDY] for row in run.evaluations}
    for row in run.files.samples if run.files else ():
        right = evaluated.get((row.get("split"), row["step"]), {})
        if row.get("key") in right and right[row["key"]] != int(row.get("reason") == "correct"):
            yield (
                f"samples.jsonl: the answer to {row['key']!s:.60} on {row['split']} at step "
                f"{row['step']} is {row.get('reason')!s:.20}, eval.jsonl counts {right[row['key']]}"
            )


def _metrics(run: ComparedRun) -> Iterator[str]:
    """Check that the steps are 1, 2, 3 and so on, and that no spent budget falls."""
    steps = [row["step"] for row in run.metrics]
    if steps != list(range(1, len(steps) + 1)):
        yield "metrics.jsonl: its steps are not 1, 2, 3 and so on"
    for name in SPENT:
        key = budget_name(name)
        marks = [(row["step"], row[key]) for row in run.metrics if key in row]
        for (_, before), (step, after) in pairwise(marks):
            if after < before:
                yield f"metrics.jsonl: {key} falls from {before} to {after} at step {step}"


def _ledger(run: ComparedRun) -> Iterator[str]:
    """Check that the spent budget is the same in metrics.jsonl, eval.jsonl and summary.json."""
    at = {row["step"]: {name: row.get(budget_name(name)) for name in SPENT} for row in run.metrics}
    ends = [("summary.json: ledger", run.summary.get("ledger", {}))] if run.counts else []
    last = max(at, default=0)
    marks = [(f"eval.jsonl: the budget at step {r['step']}", r["step"], r.get("budget", {}))
             for r in run.evaluations]  # fmt: skip
    for where, step, ledger in [*((where, last, ledger) for where, ledger in ends), *marks]:
        for name, value in at.get(step, {}).items():
            if value is not None and ledger.get(name, value) != value:
                yield f"{where} has {ledger[name]} {name}, metrics.jsonl says {value}"


def _summary(run: ComparedRun) -> Iterator[str]:
    """Check summary.json against the first and the last evaluation, the steps and the status."""
    summary, val = run.summary, [row for row in run.evaluations if row["split"] == "val"]
    if not run.counts:
        return  # summary.json may come from an earlier end of a run that was resumed
    ends: dict[tuple[str, str], Row] = {
        ("warm_start", "val"): val[0] if val else {},
        ("final", "val"): val[-1] if val else {},
        ("final", "test"): run.last("test") or {},
    }
    for (when, split), row in ends.items():
        in_summary: Row = (summary.get(when) or {}).get(split) or {}
        for name in SCORE if in_summary and row else ():
            if not _close(row.get(name), in_summary.get(name)):
                yield (
                    f"summary.json: {when}.{split}.{name} is {in_summary.get(name)!s:.20}, "
                    f"eval.jsonl says {row.get(name)!s:.20}"
                )
    if run.metrics and summary.get("steps", run.metrics[-1]["step"]) != run.metrics[-1]["step"]:
        yield f"summary.json: {summary['steps']} steps, metrics.jsonl ends at {len(run.metrics)}"
    if summary.get("status", run.state) != run.state:
        yield f"summary.json: the run is {summary['status']!s:.20}, run.json says {run.state:.20}"


def _paid(run: ComparedRun) -> Iterator[str]:
    """Check that the mean reward of each step is the share of right answers.

    This holds only for the reward `accuracy` without noise, which is 1 or 0. Other runs are
    skipped.
    """
    config = _config_of(run)
    if config.get("env.reward") != "accuracy" or config.get("env.reward_flip"):
        return
    keys = [failure_share(reason) for reason in NOT_RIGHT]
    for row in run.metrics:
        known = all(key in row for key in keys)
        if not known or any("unscorable" in key and row[key] for key in row):
            continue
        right = 1.0 - sum(row[key] for key in keys)
        if abs(row[REWARD_MEAN] - right) > 1e-6:
            yield (
                f"metrics.jsonl: {REWARD_MEAN} is {row[REWARD_MEAN]:.6g} at step {row['step']}, "
                f"the shares of unpaid answers say {right:.6g}"
            )


def _schedule(run: ComparedRun) -> Iterator[str]:
    """Check that a finished run was scored at the configured steps.

    On val these steps follow from `eval.every`; on test there is one, the last.
    """
    every, last = _config_of(run).get("eval.every"), len(run.metrics)
    if run.state != "done" or not isinstance(every, int) or not last:
        return
    due = {0, last, *range(0, last + 1, every)} if every else {0, last}
    for split, wanted in (("val", sorted(due)), ("test", [last])):
        steps = [row["step"] for row in run.evaluations if row["split"] == split]
        if steps != wanted:
            yield f"eval.jsonl: {split} was scored at steps {steps}, it was due at {wanted}"


RUN = (_evaluations, _schedule, _paid, _same_problems, _samples, _metrics, _ledger, _summary)


# ---- what it is compared as ----


def _as_compared(run: ComparedRun, evidence: Evidence) -> Iterator[str]:
    """Check a run's config.yaml, summary.json and run.json against its arm in compare.json."""
    config = _config_of(run)
    for key, value in {"seed": run.seed, "env.name": run.env, "name": run.name}.items():
        if config.get(key, value) != value:
            yield f"config.yaml: {key} is {config[key]!s:.40}, compare.json says {value}"
    if run.files and run.files.run.get("name", run.name) != run.name:
        yield f"run.json: this is the run {run.files.run['name']!s:.60}"
    summary = run.summary
    for key, name in (("algo", "algo.name"), ("env", "env.name"), ("seed", "seed")):
        if key in summary and config.get(name, summary[key]) != summary[key]:
            difference = f"{summary[key]!s:.40}, config.yaml says {config[name]!s:.40}"
            yield f"summary.json: {key} is {difference}"
    for row in _settings(run, evidence):
        value, wanted = config.get(row["name"], MISSING), row["values"].get(run.arm)
        if value is not MISSING and not _same(value, wanted):
            yield f"config.yaml: {row['name']} is {value!s:.40}, compare.json says {wanted!s:.40}"


def _settings(run: ComparedRun, evidence: Evidence) -> Sequence[Row]:
    """Return the rows of the fairness check for the run's environment, without `engine.threads`."""
    fair = evidence.compare["fairness"]
    rows = [row for one in fair if one["env"] == run.env for row in one["rows"]]
    return [row for row in rows if row["name"] != "engine.threads"]  # a resumed run may change it


def _config_of(run: ComparedRun) -> dict[str, Any]:
    """Return {dotted key: value} of the run's config.yaml."""
    assert run.files is not None
    return dict(dotted(recorded.plain(run.files.folder / "config.yaml")))


def _same(a: Any, b: Any) -> bool:
    lists = isinstance(a, list | tuple) and isinstance(b, list | tuple)
    return list(a) == list(b) if lists else bool(a == b) or _close(a, b)


def _close(a: Any, b: Any) -> bool:
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b))
    return isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) if numbers else bool(a == b)
