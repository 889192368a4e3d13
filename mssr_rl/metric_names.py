"""Every metric of a run: its name, its unit, what it means, and which module measures it.

The one table. Code takes names from the constants below, charts take title and unit from here, and
docs/metrics.md is written from it (`python -m mssr_rl.metric_names`). To add a metric, declare it
here and measure it; with a title and a section it also gets a chart in the report. A plug-in may
measure under a name that is not here: the report draws it under that name.

Names of metrics.jsonl follow verl and EasyR1.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from mssr_rl.text_table import markdown_table

Section = Literal["main", "health", "own", ""]  # where the report draws it; "" is nowhere


@dataclass(frozen=True)
class Metric:
    """One measured quantity."""

    name: str  # its key on disk
    unit: str
    meaning: str
    source: str  # the module that measures it, below mssr_rl
    title: str = ""  # above its chart
    section: Section = ""
    file: str = "metrics.jsonl"  # where it is written

    @property
    def share(self) -> bool:
        """Whether it lies between 0 and 1 and is shown in percent."""
        return self.unit.startswith("share of")


_TABLE: dict[str, Metric] = {}


def _declare(metric: Metric) -> str:
    """Put a metric into the table; its name comes back, as the constant that code uses."""
    assert metric.name not in _TABLE, f"{metric.name} is declared twice"
    _TABLE[metric.name] = metric
    return metric.name


# The order within a section is the order of the charts on the page.

STEP = _declare(Metric("step", "steps", "training steps done", "run.step"))

REWARD_MEAN = _declare(
    Metric(
        "reward/mean",
        "mean over the step’s rollouts",
        "reward of a rollout",
        "metrics",
        "Training reward",
        "main",
    )
)

# ---- the policy ----

ENTROPY = _declare(
    Metric(
        "actor/entropy",
        "nats per token, full vocabulary",
        "entropy of the policy that sampled the rollouts",
        "metrics",
        "Entropy",
        "health",
    )
)
KL_REF = _declare(
    Metric(
        "actor/kl_ref",
        "nats per token",
        "KL of the sampling policy to the frozen reference, estimator k3",
        "metrics",
        "KL to the reference",
        "health",
    )
)
KL_STEP = _declare(
    Metric(
        "actor/kl_step",
        "nats per token",
        "KL of the policy before a step to the policy after it, estimator k3",
        "run.step",
        "KL of one step",
        "health",
    )
)
LENGTH_MEAN = _declare(
    Metric(
        "response_length/mean",
        "tokens, mean",
        "length of a response",
        "metrics",
        "Response length",
        "health",
    )
)
LENGTH_MAX = _declare(
    Metric("response_length/max", "tokens", "the longest response of a step", "metrics")
)
TRUNCATED_SHARE = _declare(
    Metric(
        "response_length/clip_ratio",
        "share of rollouts",
        "responses that the length limit cut off",
        "metrics",
        "Cut off at the limit",
        "health",
    )
)

# ---- what the grader said ----

FAILURE_MEANINGS: Mapping[str, str] = {
    "wrong": "the answer is not the right one",
    "no_answer": "the response holds no answer",
    "bad_format": "the response does not keep the format",
    "timeout": "grading took too long and was stopped",
    "error": "grading failed",
}
FAILURES = tuple(FAILURE_MEANINGS)
_FAILURE_SHARES = {
    reason: _declare(
        Metric(
            f"reward/{reason}_fraction",
            "share of rollouts",
            meaning,
            "metrics",
            *(("No answer found", "health") if reason == "no_answer" else ()),
        )
    )
    for reason, meaning in FAILURE_MEANINGS.items()
}
NO_ANSWER_SHARE = _FAILURE_SHARES["no_answer"]
BAD_FORMAT_SHARE = _FAILURE_SHARES["bad_format"]
TIMEOUT_SHARE = _FAILURE_SHARES["timeout"]
ERROR_SHARE = _FAILURE_SHARES["error"]
UNSCORABLE_SHARE = _declare(
    Metric(
        "reward/unscorable_fraction",
        "share of rollouts",
        "rollouts that nothing could score, with fault.unscorable=leave_out",
        "run.step",
    )
)

# ---- advantages ----

ADVANTAGE_MEAN = _declare(
    Metric("critic/advantages/mean", "reward units", "mean of the token advantages", "metrics")
)
ADVANTAGE_STD = _declare(
    Metric(
        "critic/advantages/std",
        "reward units",
        "standard deviation of the token advantages, divided by n",
        "metrics",
    )
)
ADVANTAGE_MIN = _declare(
    Metric("critic/advantages/min", "reward units", "smallest token advantage", "metrics")
)
ADVANTAGE_MAX = _declare(
    Metric("critic/advantages/max", "reward units", "largest token advantage", "metrics")
)
ZERO_ADVANTAGE_SHARE = _declare(
    Metric(
        "critic/advantages/zero_fraction",
        "share of tokens",
        "tokens whose advantage is 0, which teach nothing",
        "metrics",
        "Zero advantage",
        "health",
    )
)

# ---- the update ----

KL_COEF = _declare(
    Metric(
        "actor/kl_coef",
        "factor",
        "weight of the KL to the frozen model in the loss, where algo.adaptive_kl steers it",
        "controllers",
        "Weight of the KL",
        "own",
    )
)
ENTROPY_COEF = _declare(
    Metric(
        "actor/entropy_coef",
        "factor",
        "weight of the entropy in the loss, where algo.adaptive_entropy steers it",
        "controllers",
        "Weight of the entropy",
        "own",
    )
)
CLIPPED_SHARE = _declare(
    Metric(
        "actor/pg_clipfrac",
        "share of tokens",
        "tokens whose probability ratio was clipped",
        "objective",
        "Clipped ratios",
        "health",
    )
)
GRAD_NORM = _declare(
    Metric(
        "actor/grad_norm",
        "before clipping",
        "Euclidean norm of the gradient, mean over the updates of a step",
        "engine",
        "Gradient norm",
        "health",
    )
)
PG_LOSS = _declare(
    Metric(
        "actor/pg_loss",
        "loss",
        "policy-gradient loss, mean over the updates of a step",
        "objective",
    )
)
LEARNING_RATE = _declare(Metric("actor/lr", "1", "learning rate", "run.step"))
PLOGP = _declare(
    Metric(
        "actor/plogp",
        "nats per token",
        "-p log p of the sampled token, which MSSR's released code logs as entropy; at most 0.368",
        "metrics",
    )
)
PERCEPTION_KL = _declare(
    Metric(
        "actor/perception_kl",
        "nats per token",
        "KL of the policy to the same policy with the masked picture",
        "objective",
        "KL to the masked picture",
        "own",
    )
)
TEXT_KL = _declare(
    Metric(
        "actor/text_kl",
        "nats per token",
        "KL of the policy with pictures to the policy without them",
        "objective",
        "KL to the text-only policy",
        "own",
    )
)

# ---- what an algorithm measures ----

TRACKED_VALUE = _declare(
    Metric(
        "tracker/mean",
        "mean over problems",
        "success rate that the tracker expects of the step's problems",
        "advantage.tracker",
        "Tracked value",
        "own",
    )
)
TRACKER_ETA = _declare(
    Metric(
        "tracker/eta",
        "of the value tracker",
        "share of its past that the tracker keeps at this step",
        "advantage.tracker",
        "Forgetting factor η",
        "own",
    )
)
TRACKER_KL = _declare(
    Metric(
        "tracker/kl",
        "nats per token",
        "KL by which the tracker chose eta",
        "advantage.tracker",
        "KL the tracker saw",
        "own",
    )
)
BONUS_MEAN = _declare(
    Metric(
        "shaping/bonus_mean",
        "mean, advantage units",
        "entropy bonus added to the advantage of a token",
        "advantage.shaping",
        "Entropy bonus",
        "own",
    )
)
BONUS_CAPPED_SHARE = _declare(
    Metric(
        "shaping/capped_fraction",
        "share of tokens",
        "tokens whose bonus met its bound",
        "advantage.shaping",
        "Bonus capped",
        "own",
    )
)
SIGN_FLIPPED_SHARE = _declare(
    Metric(
        "shaping/flipped_fraction",
        "share of tokens",
        "tokens whose negative advantage the bonus made positive",
        "advantage.shaping",
        "Sign flipped by the bonus",
        "own",
    )
)
SAMPLED_BATCHES = _declare(
    Metric(
        "sampling/batches",
        "batches",
        "batches drawn until a step was full, for algorithms that drop groups",
        "run.step",
        "Batches drawn for a step",
        "own",
    )
)
DROPPED_SHARE = _declare(
    Metric(
        "sampling/dropped_fraction",
        "share of rollouts",
        "rollouts of groups that were dropped",
        "run.step",
        "Dropped rollouts",
        "own",
    )
)

# ---- a sampler that is not the trainer, as on a cluster ----

SAMPLER_GAP_MEAN = _declare(
    Metric(
        "sampler/logprob_gap_mean",
        "nats",
        "mean distance of the sampler's log-probability of a token to the trainer's",
        "run.mismatch",
        "Sampler to trainer, mean gap",
        "own",
    )
)
SAMPLER_KL = _declare(
    Metric(
        "sampler/kl",
        "nats per token",
        "KL of the sampler to the trainer, estimator k3",
        "run.mismatch",
    )
)
SAMPLER_GAP_MAX = _declare(
    Metric(
        "sampler/logprob_gap_max",
        "nats",
        "the largest such distance of a step",
        "run.mismatch",
        "Sampler to trainer, largest gap",
        "own",
    )
)

# ---- stability ----

SKIPPED = _declare(
    Metric(
        "fault/skipped",
        "1 or absent",
        "the step was left out: one of its numbers was NaN or infinite",
        "run.step",
    )
)

# ---- cost ----

BUDGETS = {
    name: _declare(
        Metric(f"budget/{name}", unit, f"{meaning}, since the start of the run", "budget")
    )
    for name, unit, meaning in (
        ("rollouts", "rollouts", "charged rollouts, initial and dropped ones included"),
        ("prompts", "problems", "problems posed"),
        ("updates", "updates", "updates of the optimiser"),
        ("generated_tokens", "tokens", "tokens sampled"),
        ("trained_tokens", "tokens", "tokens in the updates, once for each epoch"),
        ("seconds", "seconds", "wall time, evaluation and checkpoints left out"),
    )
}
BUDGET_ROLLOUTS, BUDGET_SECONDS = BUDGETS["rollouts"], BUDGETS["seconds"]

PHASE_MEANINGS: Mapping[str, str] = {
    "rollout": "sampling of the responses",
    "reward": "grading",
    "logprob": "log-probabilities under the policy and the reference",
    "update": "updates of the policy",
    "sync": "new weights to the sampler",
}
PHASES = tuple(PHASE_MEANINGS)
_TIMINGS = {
    phase: _declare(
        Metric(f"timing_s/{phase}", "seconds", f"wall time of one step: {meaning}", "run.stopwatch")
    )
    for phase, meaning in {**PHASE_MEANINGS, "step": "everything"}.items()
}
STEP_SECONDS = _TIMINGS["step"]

# ---- evaluations ----

ACCURACY = _declare(
    Metric(
        "accuracy",
        "share of problems",
        "right answers, one greedy answer each",
        "run.scoring",
        file="eval.jsonl",
    )
)
ACCURACY_SAMPLED = _declare(
    Metric(
        "accuracy_sampled",
        "share of answers",
        "right answers at temperature 1, mean over several answers to each problem (mean@k)",
        "run.scoring",
        file="eval.jsonl",
    )
)
_SCORES = {
    (split, key): _declare(
        Metric(
            f"{split}/{key}",
            _TABLE[key].unit,
            f"{key} on the {words} problems",
            "run.scoring",
            file="TensorBoard",
        )
    )
    for split, words in (("val", "validation"), ("test", "test"))
    for key in (ACCURACY, ACCURACY_SAMPLED)
}
VALIDATION_ACCURACY = _SCORES["val", ACCURACY]

# ---- what the lens measures of a recorded batch ----

SIGNAL_VARIANCE = _declare(
    Metric(
        "signal/variance",
        "reward units squared",
        "population variance of the token advantages",
        "lens.signal",
        file="lens",
    )
)
SIGNAL_TOKENS = _declare(
    Metric(
        "signal/effective_sample_size",
        "tokens",
        "(sum |A|)^2 / sum A^2: how many equally strong tokens carry as much signal",
        "lens.signal",
        file="lens",
    )
)

TABLE: Mapping[str, Metric] = _TABLE


def failure_share(reason: str) -> str:
    """The name of the share of rollouts that failed for a reason, one of `FAILURES`."""
    return _FAILURE_SHARES[reason]


def budget_name(currency: str) -> str:
    """Return the metric name of a unit of the budget, such as rollouts."""
    return BUDGETS[currency]


def timing_name(phase: str) -> str:
    """The name of a phase's seconds: one of `PHASES`, or step."""
    return _TIMINGS[phase]


def score_name(split: str, key: str) -> str:
    """The TensorBoard name of an accuracy on a split."""
    return _SCORES[split, key]


def is_budget(name: str) -> bool:
    """Whether a metric is a sum over the run so far, of what the budget counts."""
    return name in BUDGETS.values()


def is_score(name: str) -> bool:
    """Whether a metric is an accuracy on a split."""
    return name in _SCORES.values()


def is_timing(name: str) -> bool:
    """Whether a metric is wall time, which differs between two runs of the same seed."""
    return name in _TIMINGS.values() or name == BUDGET_SECONDS


def drawn(section: Section) -> tuple[Metric, ...]:
    """The metrics that a section of the report draws, in its order."""
    return tuple(metric for metric in TABLE.values() if metric.section == section)


def markdown(metrics: Iterable[Metric] = TABLE.values()) -> str:
    """The table of docs/metrics.md."""
    head = ("name", "file", "unit", "meaning", "measured in")
    rows = [
        (f"`{m.name}`", m.file, m.unit, m.meaning.replace("|", "\\|"), f"`{m.source}`")
        for m in metrics
    ]
    return f"{markdown_table(head, rows)}\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
