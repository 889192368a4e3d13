"""The placement of a run: the numbers of its processes, and of the GPUs that they use.

Ray reserves GPUs as bundles. A bundle is one GPU, or one logical GPU on a machine without GPUs.
`--plan` prints the placement, and `session` reserves bundles for it. This module does not need Ray.
"""

from typing import NamedTuple

from mssr_rl.config.schema import Config

SHARE = 0.2  # share of a bundle for each of policy, reference and rollout, if they share it


class Placement(NamedTuple):
    """The numbers of processes and bundles of a run."""

    training_ranks: int  # the reference has as many, on the same bundles
    ranks_per_node: int
    rollout_engines: int
    tensor_parallel: int  # bundles of one rollout engine
    colocate: bool

    @property
    def rollout_bundles(self) -> int:
        """The number of bundles for rollout engines, in addition to the training bundles."""
        return 0 if self.colocate else self.rollout_engines * self.tensor_parallel

    @property
    def bundles(self) -> int:
        """The total number of bundles."""
        return self.training_ranks + self.rollout_bundles

    def __str__(self) -> str:
        training = f"{self.training_ranks} for training (policy and reference on each)"
        if not self.rollout_engines:
            return f"{self.bundles} bundles of 1 GPU: {training}, where rollouts are sampled too"
        rollout = f"{self.rollout_engines} × vLLM on {self.tensor_parallel} each"
        where = "the same bundles" if self.colocate else f"{self.rollout_bundles} more"
        return f"{self.bundles} bundles of 1 GPU: {training}; {rollout}, {where}"


def placement(config: Config) -> Placement:
    """Return the placement of a run. `crosscheck` has already checked that its numbers fit."""
    cluster = config.cluster
    return Placement(
        training_ranks=cluster.nodes * cluster.gpus_per_node,
        ranks_per_node=cluster.gpus_per_node,
        rollout_engines=cluster.rollout_engines if config.rollout.sampler == "vllm" else 0,
        tensor_parallel=cluster.tensor_parallel,
        colocate=cluster.colocate,
    )


def micro_batch(config: Config) -> int:
    """Return the number of sequences that a rank computes in one pass.

    It is the largest number up to train.micro_batch that divides the rank's part of an update.
    """
    share = config.train.samples_per_update // placement(config).training_ranks
    most = min(config.train.micro_batch, share)
    return next(size for size in range(most, 0, -1) if share % size == 0)
