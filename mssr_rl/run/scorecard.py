"""The card of a score: all settings that must be equal before two scores may be compared.

The name of a benchmark is not enough. A score also depends on the split, the items, the prompt, the
extraction of the answer, the judge and the definition of the metric. `eval compare=A,B` compares
the cards, and refuses to compare scores if the cards differ.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mssr_rl.envs.environment import ProblemEnv
from mssr_rl.errors import UserError
from mssr_rl.problem import Problem
from mssr_rl.run_streams import any_rows, stream_path
from mssr_rl.stats import Interval, paired_change, wilson
from mssr_rl.stats.intervals import clustered
from mssr_rl.text_table import markdown_table

CLUSTERS = ("problem_index", "set_id")  # rows that share one of these are not independent


def card(env: ProblemEnv, n: int, **more: Any) -> dict[str, Any]:
    """Return the card of a score on the first `n` problems, with the caller's entries `more`."""
    digest = hashlib.blake2b(digest_size=8)
    for problem in env.problems[:n]:
        shown = (text for example in problem.examples for text in example)
        for text in (*shown, problem.prompt):
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return {
        "env": env.name,
        "split": env.split,
        "items": n,
        "data": env.fingerprint(),
        "prompt": f"{env.instruction}, {digest.hexdigest()}",
        "extraction": env.rules.extraction,
        "metric": env.rules.metric,
        "pictures": "grey" if env.blind else "shown",
        **more,
    }


def interval(problems: Sequence[Problem], right: Sequence[int]) -> Interval:
    """Return accuracy with its 95 % interval: Wilson's, or `clustered` if rows share a problem."""
    groups: dict[str, list[int]] = {}
    for problem, one in zip(problems, right, strict=True):
        name = next((problem.extras[c] for c in CLUSTERS if c in problem.extras), None)
        if name is None:
            return wilson(sum(right) / len(right), len(right))
        groups.setdefault(name, []).append(one)
    return clustered(groups.values())


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Return the differences between two cards, one text per entry."""
    return [f"{k}: {a.get(k)} / {b.get(k)}" for k in {**a, **b} if a.get(k) != b.get(k)]


def compare(one: Path, other: Path) -> list[dict[str, Any]]:
    """Compare the scores of two folders, paired by problem; return one row per benchmark.

    Raises:
        UserError: two cards of a benchmark differ, or the folders have no benchmark in common.
    """
    ours, theirs = _scores(one), _scores(other)
    common = [key for key in ours if key in theirs]
    if not common:
        raise UserError(f"{one} and {other} have no benchmark in common")
    for key in common:
        if differing := differences(ours[key]["card"], theirs[key]["card"]):
            raise UserError(
                f"{' '.join(key)}: the scores in {one} and {other} cannot be compared, their cards"
                f" differ in {'; '.join(differing)}: score both with the same settings"
            )
    return [_pair(key, ours[key], theirs[key]) for key in common]


def _pair(key: tuple[str, str], a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    # A problem that could not be scored is missing in one of them.
    names = [name for name in a["per_problem"] if name in b["per_problem"]]
    before, after = ([row["per_problem"][name] for name in names] for row in (a, b))
    change = paired_change(before, after)
    return {
        "env": key[0],
        "split": key[1],
        "n": len(names),
        "accuracy": [a["accuracy"], b["accuracy"]],
        "change": None if change is None else [change.value, change.low, change.high],
    }


def _scores(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return {(environment, split): score} of all scores with a card in a folder's eval.jsonl."""
    path = stream_path(folder, "eval")
    if not path.exists():
        raise UserError(f"{folder} has no eval.jsonl: name the folders that eval wrote")
    scores = {
        (row["env"], row["split"]): row
        for row in any_rows(folder, "eval")
        if row is not None and "card" in row
    }
    if not scores:
        raise UserError(f"{path} has no score with a card; score the model again with eval")
    return scores


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """Return all scores as a Markdown table."""
    head = ["benchmark", "split", "n", "accuracy", "95 %", "mean@k", "more"]
    return f"{markdown_table(head, [_cells(row) for row in records])}\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    low, high = row["interval"]
    return [
        row["env"],
        row["split"],
        str(row["n"]),
        f"{row['accuracy']:.1%}",
        f"{low:.1%} to {high:.1%}",
        f"{row['accuracy_sampled']:.1%}",
        ", ".join(f"{name} {value:.1%}" for name, value in row["metrics"].items()),
    ]
