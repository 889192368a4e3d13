"""Evaluation results in the forms of others.

    every_eval_ever    the JSON schema of the EvalEval coalition, version 0.2.1
    .eval_results      the hub's own form, for data sets that are on the hub

The first has a place for intervals; the second has not.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.utils._fixes import yaml_dump

from mssr_rl.publishing.published_run import PublishedRun, SplitScore
from mssr_rl.version import VERSION

SCHEMA = "0.2.1"
ACCURACY = {
    "evaluation_description": "share of problems whose greedy answer is right",
    "lower_is_better": False,
    "score_type": "continuous",
    "min_score": 0.0,
    "max_score": 1.0,
}


def of_run(run: PublishedRun, name: str) -> dict[str, Any]:
    """Return the record of a run's newest scores; `name` is the model's name."""
    results = [
        _result(
            f"{run.env} {score.split}",
            _data(run.env, run.config["env"].get("data"), score.split, score.n),
            score.accuracy,
            _uncertainty(score),
        )
        for score in run.scores
    ]
    return _record(run.env, name, results, {"command": f"mssr_rl train {run.command}"})


def of_comparison(report: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (file name, record) for each arm on each environment; `report` is report.json.

    The score is the mean over training runs, and the interval is over them.
    """
    command = " ".join(map(str, report["command"]))
    for env in report["envs"]:
        for row in env["leaderboard"]:
            accuracy = row["accuracy"]
            seeds = len(row["by_seed"])
            uncertainty: dict[str, Any] = {"num_samples": seeds}
            if accuracy["low"] is not None:
                uncertainty["confidence_interval"] = {
                    "lower": accuracy["low"],
                    "upper": accuracy["high"],
                    "confidence_level": 0.95,
                    "method": "t interval over training runs",
                }
            data = _data(env["env"], None, env["split"], env["questions"])
            name = f"{env['env']} {env['split']}, mean over {seeds} training runs"
            result = _result(name, data, accuracy["value"], uncertainty)
            facts = {"command": f"mssr_rl compare {command}", "arm": row["arm"]}
            slug = "".join(c if c.isalnum() else "-" for c in f"{env['env']}_{row['arm']}")
            yield f"{slug}.json", _record(env["env"], row["arm"], [result], facts)


def hub_results(run: PublishedRun) -> str | None:
    """Return the YAML of `.eval_results/`; None unless the run's data set is on the hub."""
    data = str(run.config["env"].get("data", ""))
    if data.count("/") != 1 or data[:1] in "./~":
        return None
    entries = [
        EvalResultEntry(
            dataset_id=data,
            task_id=score.split,
            value=round(100 * score.accuracy, 2),
            notes=f"greedy accuracy in % on {score.n} problems, graded by mssr_rl {VERSION}",
        )
        for score in run.scores
    ]
    return yaml_dump(eval_result_entries_to_yaml(entries))


def _record(
    env: str, name: str, results: list[dict[str, Any]], facts: Mapping[str, str]
) -> dict[str, Any]:
    now = f"{time.time():.0f}"
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{env}/{name}/{now}",
        "retrieved_timestamp": now,
        "source_metadata": {
            "source_name": "mssr_rl",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "first_party",
        },
        "eval_library": {"name": "mssr_rl", "version": VERSION},
        "model_info": {"name": name, "id": name, "additional_details": dict(facts)},
        "evaluation_results": results,
    }


def _result(
    name: str, data: Mapping[str, Any], score: float, uncertainty: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "evaluation_name": name,
        "source_data": dict(data),
        "metric_config": dict(ACCURACY),
        "score_details": {"score": score, "uncertainty": dict(uncertainty)},
    }


def _data(env: str, data: object, split: str, count: int) -> dict[str, Any]:
    place = str(data)
    if place.count("/") == 1 and place[:1] not in "./~":
        return {
            "dataset_name": env,
            "source_type": "hf_dataset",
            "hf_repo": place,
            "hf_split": split,
            "samples_number": count,
        }
    details = {"split": split, "problems": str(count)}
    return {"dataset_name": env, "source_type": "other", "additional_details": details}


def _uncertainty(score: SplitScore) -> dict[str, Any]:
    return {
        "confidence_interval": {
            "lower": score.interval.low,
            "upper": score.interval.high,
            "confidence_level": 0.95,
            "method": "Wilson interval over problems",
        },
        "num_samples": score.n,
    }
