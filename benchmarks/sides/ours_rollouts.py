"""Our side of `benchmarks.rollouts`: the local engine.

It also returns log-probabilities and entropies, because a training step needs them.
"""

from typing import Any

from benchmarks.peers import Channel, options
from benchmarks.workloads import laptop, posed
from mssr_rl.engine import make_engine
from mssr_rl.engine_protocol import Sampling


def main(told: dict[str, Any]) -> None:
    """Sample one batch of rollouts at each turn.

    `told` holds `threads`, `problems` per turn, `group` rollouts of each, and `limit` in tokens.
    """
    channel = Channel()
    engine = make_engine(laptop(f"engine.threads={told['threads']}"))
    sampling = Sampling(max_response_tokens=told["limit"])
    channel.ready()
    turn = 0
    while channel.wait():
        rollouts = engine.rollout(posed(turn, told["problems"]), told["group"], sampling, turn)
        channel.tell(samples=len(rollouts.responses), tokens=int(rollouts.mask_BT.sum()))
        turn += 1
    engine.close()


if __name__ == "__main__":
    main(options())
