"""Map metric names of EasyR1, verl and TRL to the names of this package.

If a pattern matches several names, the name that was recorded first is used. The choice is printed
and recorded. The argument `METRIC=NAME` overrides it.
"""

import re
from collections.abc import Mapping, Sequence

from mssr_rl.errors import UserError
from mssr_rl.metric_names import (
    CLIPPED_SHARE,
    ENTROPY,
    GRAD_NORM,
    KL_REF,
    LENGTH_MEAN,
    REWARD_MEAN,
    TRUNCATED_SHARE,
    VALIDATION_ACCURACY,
)
from mssr_rl.typed import closest

# Key on the command line -> our metric, and patterns of other trainers' names, best first.
METRICS: Mapping[str, tuple[str, Sequence[str]]] = {
    "reward": (
        REWARD_MEAN,
        (r"reward/mean", r"reward/overall", r"critic/rewards/mean", r"critic/score/mean",
         r"(train/)?reward"),
    ),
    "accuracy": (
        VALIDATION_ACCURACY,
        (r"val/accuracy", r"val/accuracy_reward", r"val-core/.*/acc/mean@\d+",
         r"val-core/.*/reward/mean@\d+", r"val/(accuracy|test_score)/.*", r"val/reward_score",
         r"eval_rewards/.*accuracy.*/mean", r"eval/rewards/.*accuracy.*/mean",
         r"eval[_/]reward"),
    ),
    "entropy": (
        ENTROPY, (r"actor/entropy", r"actor/entropy_loss", r"(train/)?entropy")
    ),
    "kl": (
        KL_REF, (r"actor/kl_ref", r"actor/kl_loss", r"actor/reward_kl_penalty",
                         r"critic/kl", r"(train/)?kl")
    ),
    "length": (
        LENGTH_MEAN,
        (r"response_length/mean", r"(train/)?completions/mean_length",
         r"(train/)?completion_length"),
    ),
    "truncated": (
        TRUNCATED_SHARE,
        (r"response_length/clip_ratio", r"(train/)?completions/clipped_ratio"),
    ),
    "gradient": (GRAD_NORM, (r"actor/grad_norm", r"(train/)?grad_norm")),
    "clipped": (
        CLIPPED_SHARE,
        (r"actor/pg_clipfrac", r"actor/pg_clipfrac_higher", r"(train/)?clip_ratio/region_mean"),
    ),
}  # fmt: skip


def chosen(names: Sequence[str], given_names: Mapping[str, str]) -> dict[str, str]:
    """Return {our metric: their name} for every metric that is recognised or given by the user.

    Raise `UserError` if a given name does not exist, or if neither reward nor accuracy is found.
    """
    mapping = {}
    for word, (metric, patterns) in METRICS.items():
        name = given_names.get(word) or _first(names, patterns)
        if name is None:
            continue
        if name not in names:
            close = closest(name, names)
            advice = f"did you mean {close}?" if close else f"it has {', '.join(names[:12])}"
            raise UserError(f"{word}={name}: the file records no such name; {advice}")
        mapping[metric] = name
    if not {REWARD_MEAN, VALIDATION_ACCURACY} & mapping.keys():
        raise UserError(
            "the file has no name that is known for a reward or an accuracy; say reward=NAME or "
            f"accuracy=NAME, of {', '.join(names[:20])}"
        )
    return mapping


def _first(names: Sequence[str], patterns: Sequence[str]) -> str | None:
    return next((n for p in patterns for n in names if re.fullmatch(p, n)), None)
