"""Our side of `benchmarks.step`: a run of the real trainer that takes one step at each turn.

A step does everything that it does in a run: display, metrics.jsonl, samples, TensorBoard events,
heartbeat, ledger. Evaluations and checkpoints are left out.
"""

import tempfile
from typing import Any

from benchmarks.peers import Channel, options
from benchmarks.workloads import laptop
from mssr_rl.engine import make_engine
from mssr_rl.run import trainer
from mssr_rl.run.arm import facts


class OurTurns(trainer.Session):
    """A training run that waits for a turn before each step."""

    channel: Channel

    def run(self) -> None:
        """Take one step at each turn, until there are no more turns."""
        self._begin(facts(self.arm), changed=[])
        self.channel.ready()
        while self.channel.wait():
            updates = self.state.ledger.updates
            result = self._step(self._enter)
            self._advance(result)
            self.channel.tell(
                samples=len(result.samples),
                updates=self.state.ledger.updates - updates,
                tokens=result.metrics["response_length/mean"],
                reward=result.metrics["reward/mean"],
            )


def main(told: dict[str, Any]) -> None:
    """Run the trainer with the command-line arguments in `told["words"]`."""
    OurTurns.channel = Channel()
    with tempfile.TemporaryDirectory() as folder:
        config = laptop(*told["words"], f"runs_dir={folder}", env=told["env"])
        trainer.run(config, make_engine, OurTurns)


if __name__ == "__main__":
    main(options())
