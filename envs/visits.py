"""What a training run does to its problems and rewards at each visit: noise, on purpose.

    env.picture_noise=50     Gaussian noise on the pictures, drawn again whenever a problem is posed
    env.reward_flip=0.1      a tenth of the rewards r become 1 - r
    env.reward=random        every reward is 0 or 1 by chance, whatever the answer

Only training sees the noise. Evaluations grade every answer by its verdict, and the verdicts of
training answers stay right too: `reward/mean` is the noisy reward, the shares of wrong answers are
not. Gymnasium's `step` and the rewards for other trainers have no noise either. The caller gives
a seed for each visit, derived from the run's seed and the step. So a resumed run meets the same
noise.
"""

from collections.abc import Sequence
from math import isnan

import numpy as np

from mssr_rl.envs.environment import Graded, ProblemEnv
from mssr_rl.problem import Problem
from mssr_rl.seeds import derive
from mssr_rl.views import noisy_pictures


def noisy(env: ProblemEnv) -> bool:
    """Return whether training sees noise in this environment."""
    handling = env.handling
    return env.random_reward or handling.reward_flip > 0 or handling.picture_noise > 0


def posed_for_training(env: ProblemEnv, rows: Sequence[int], seed: int) -> list[Problem]:
    """Return the problems of these rows as one visit poses them, with noise on their pictures."""
    problems = [env.problems[row] for row in rows]
    if not (deviation := env.handling.picture_noise):
        return problems
    return [
        noisy_pictures(problem, derive(seed, "picture", place), deviation=deviation)
        for place, problem in enumerate(problems)
    ]


def paid_in_training(env: ProblemEnv, graded: Sequence[Graded], seed: int) -> list[Graded]:
    """Return the results of grading with the rewards that training gets; verdicts do not change.

    A reward of NaN, of a response that could not be scored, stays NaN.
    """
    flip = env.handling.reward_flip
    if not (flip or env.random_reward):
        return list(graded)
    rng = np.random.default_rng(derive(seed, "reward"))
    coin_B, flipped_B = rng.random(len(graded)) < 0.5, rng.random(len(graded)) < flip
    paid = []
    for one, coin, flipped in zip(graded, coin_B.tolist(), flipped_B.tolist(), strict=True):
        by_chance = env.random_reward and not isnan(one.reward)
        reward = float(coin) if by_chance else one.reward
        paid.append(one._replace(reward=1.0 - reward if flipped else reward))
    return paid
