"""How many processes of each kind a run has, and which bundles of Ray they use.

This module does not need Ray: `--plan` prints the placement, and the session places processes by
it. A bundle is one GPU, or one logical GPU on a machine without GPUs.
"""

from typing import NamedTuple

from mssr_rl.config.schema import Config

SHARE = 0.2  # share of a bundle for each of policy, reference and rollout, if they share it


class Placement(NamedTuple):
    """The numbers of processes of a run."""

    training_ranks: int  # the reference has as many, on the same bundles
    ranks_per_node: int
    rollout_engines: int
    tensor_parallel: int  # bundles of one rollout engine
    colocate: bool

    @property
    def rollout_bundles(self) -> int:
        """Bundles for the rollout engines, in addition to the training bundles."""
        return 0 if self.colocate else self.rollout_engines * self.tensor_parallel

    @property
    def bundles(self) -> int:
        """GPUs in total."""
        return self.training_ranks + self.rollout_bundles

    def __str__(self) -> str:
        training = f"{self.training_ranks} for training (policy and reference on each)"
        if not self.rollout_engines:
            return f"{self.bundles} bundles of 1 GPU: {training}, where rollouts are sampled too"
        rollout = f"{self.rollout_engines} × vLLM on {self.tensor_parallel} each"
        where = "the same bundles" if self.colocate else f"{self.rollout_bundles} more"
        return f"{self.bundles} bundles of 1 GPU: {training}; {rollout}, {where}"


def placement(config: Config) -> Placement:
    """Return the placement that the config asks for; `crosscheck` has tested that it fits."""
    cluster = config.cluster
    return Placement(
        training_ranks=cluster.nodes * cluster.gpus_per_node,
        ranks_per_node=cluster.gpus_per_node,
        rollout_engines=cluster.rollout_engines if config.rollout.sampler == "vllm" else 0,
        tensor_parallel=cluster.tensor_parallel,
        colocate=cluster.colocate,
    )


def micro_batch(config: Config) -> int:
    """Return the number of sequences of one rank in one pass.

    It is the largest number up to train.micro_batch that divides the rank's share of an update.
    """
    share = config.train.samples_per_update // placement(config).training_ranks
    most = min(config.train.micro_batch, share)
    return next(size for size in range(most, 0, -1) if share % size == 0)
