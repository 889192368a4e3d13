"""DeepSpeed as OpenRLHF sets it up, with the optimiser that every engine of ours uses."""

from types import SimpleNamespace
from typing import Any

from openrlhf.utils.deepspeed import DeepspeedStrategy

from mssr_rl.engine.openrlhf.placement import micro_batch


class Strategy(DeepspeedStrategy):  # type: ignore[misc]
    """Three departures, each for the sake of equal updates on every engine."""

    def get_ds_train_config(self, *rest: Any, **named: Any) -> dict[str, Any]:
        """On CPU, AdamW is torch's own: DeepSpeed's would be compiled first, for minutes."""
        settings: dict[str, Any] = super().get_ds_train_config(*rest, **named)
        if self.args.on_cpu and "optimizer" in settings:
            settings["optimizer"]["params"]["torch_adam"] = True
        return settings

    def _get_model_parameters(self, model: Any, **_: Any) -> tuple[Any, list[Any]]:
        """Weight decay acts on all weights alike; OpenRLHF exempts norms and biases."""
        module = model.model
        return module, [p for p in module.parameters() if p.requires_grad]


def strategy(args: SimpleNamespace, config: Any) -> Strategy:
    """The strategy object that goes to every training process."""
    args.on_cpu = config.engine.device == "cpu"
    return Strategy(
        seed=args.train.seed,
        full_determinism=False,
        max_norm=args.actor.max_norm,
        micro_train_batch_size=micro_batch(config),
        train_batch_size=args.train.batch_size,
        zero_stage=args.ds.zero_stage,
        args=args,
    )
