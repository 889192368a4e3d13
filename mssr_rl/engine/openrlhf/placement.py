"""How many processes of which kind a run has, and on which bundles of Ray they sit.

Knows nothing of Ray: a plan prints it, the session places by it. A bundle is one GPU, or one
logical GPU where there is none.
"""

from typing import NamedTuple

from mssr_rl.config.schema import Config

SHARE = 0.2  # of a bundle for each of policy, reference and rollout, where they share it


class Placement(NamedTuple):
    """The processes of a run."""

    training_ranks: int  # and as many that hold the reference, on the same bundles
    ranks_per_node: int
    rollout_engines: int
    tensor_parallel: int  # bundles of one rollout engine
    colocate: bool

    @property
    def rollout_bundles(self) -> int:
        """What the rollout engines take beside the training bundles."""
        return 0 if self.colocate else self.rollout_engines * self.tensor_parallel

    @property
    def bundles(self) -> int:
        """GPUs in all."""
        return self.training_ranks + self.rollout_bundles

    def __str__(self) -> str:
        training = f"{self.training_ranks} for training (policy and reference on each)"
        if not self.rollout_engines:
            return f"{self.bundles} bundles of 1 GPU: {training}, where rollouts are sampled too"
        rollout = f"{self.rollout_engines} × vLLM on {self.tensor_parallel} each"
        where = "the same bundles" if self.colocate else f"{self.rollout_bundles} more"
        return f"{self.bundles} bundles of 1 GPU: {training}; {rollout}, {where}"


def placement(config: Config) -> Placement:
    """The processes that the config asks for; `crosscheck` has seen to it that they fit."""
    cluster = config.cluster
    return Placement(
        training_ranks=cluster.nodes * cluster.gpus_per_node,
        ranks_per_node=cluster.gpus_per_node,
        rollout_engines=cluster.rollout_engines if config.rollout.sampler == "vllm" else 0,
        tensor_parallel=cluster.tensor_parallel,
        colocate=cluster.colocate,
    )


def micro_batch(config: Config) -> int:
    """Sequences of one rank in one pass: the largest number that divides its share of an update."""
    share = config.train.samples_per_update // placement(config).training_ranks
    most = min(config.train.micro_batch, share)
    return next(size for size in range(most, 0, -1) if share % size == 0)
