"""Visual mathematics with a verifiable answer, in the columns of Vision-R1-RL (arXiv 2503.06749).

`data=mini` has ten families of generated problems and needs no download. The real data set is
`data=Osilly/Vision-R1-rl`; its `test` split is the validation set. To use your own data set, give a
folder or file with the same columns (see `mssr_rl.data.reader`).
"""

from mssr_rl.data import reader
from mssr_rl.envs.environment import ProblemEnv, good_golds, register
from mssr_rl.envs.mini import EVERYTHING, MiniOptions, mini_problems
from mssr_rl.options import require


@register("vision_r1", gym_id="VisionR1")
def vision_r1(
    *,
    split: str = "train",
    data: str = "mini",
    instruction: str = "short",
    limit: int | None = None,
    reward: str = "accuracy",
    blind: bool = False,
    columns: str = "",
    mini: MiniOptions = EVERYTHING,
) -> ProblemEnv:
    """Reward 1 for a right answer in the last box after the think block, else 0.

    Args:
        split: train, val or test.
        data: mini, a file or folder in any format of docs/data.md, or a hub id owner/name.
        instruction: the text that is added to each problem: short, paper (MSSR's words) or none.
        limit: take only the first problems of the split.
        reward: accuracy, a sum such as 0.9*accuracy+0.1*format, or random.
        blind: make all pictures grey, to measure how much is guessed.
        columns: the column of each role, as {problem: question, images: img, answer: label}.
    """
    if data == "mini":
        problems = mini_problems(split, limit, mini)
    else:
        require(
            mini == EVERYTHING, "env.data", data, "mini with env.families, env.levels or env.scene"
        )
        problems = reader.load(data, split, limit, columns)
    problems = good_golds(problems, data)
    return ProblemEnv(
        problems,
        name="vision_r1",
        split=split,
        instruction=instruction,
        reward=reward,
        blind=blind,
    )
