"""OpenRLHF's setup of DeepSpeed, with the same optimiser as the local engine."""

from types import SimpleNamespace
from typing import Any

from openrlhf.utils.deepspeed import DeepspeedStrategy

from mssr_rl.config.schema import Config
from mssr_rl.engine.openrlhf.placement import micro_batch


class Strategy(DeepspeedStrategy):  # type: ignore[misc]
    """OpenRLHF's strategy, changed to update like the local engine, and to run on a CPU."""

    loading = True  # until a model is handed to DeepSpeed

    def prepare(self, *models: Any) -> Any:
        """Return the models wrapped by DeepSpeed."""
        self.loading = False
        return super().prepare(*models)

    def get_ds_train_config(self, *rest: Any, **named: Any) -> dict[str, Any]:
        """Return DeepSpeed's settings for training.

        On a CPU, torch's AdamW is used, because compiling DeepSpeed's AdamW takes minutes.
        """
        settings: dict[str, Any] = super().get_ds_train_config(*rest, **named)
        if self.args.on_cpu and "optimizer" in settings:
            settings["optimizer"]["params"]["torch_adam"] = True
        return self._whole_while_loading(settings)

    def get_ds_eval_config(self, *rest: Any, **named: Any) -> dict[str, Any]:
        """Return DeepSpeed's settings for a model without an optimiser."""
        return self._whole_while_loading(super().get_ds_eval_config(*rest, **named))

    def _whole_while_loading(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings, changed on a CPU so that every rank first loads the whole model.

        DeepSpeed splits the model afterwards. If transformers loads directly into ZeRO-3 parts, a
        few weights, different ones each time, are uninitialised memory. This was observed with
        DeepSpeed 0.19.6, Gloo and two ranks.
        """
        if self.args.on_cpu and self.loading:
            settings["zero_optimization"]["stage"] = 0
        return settings

    def _get_model_parameters(self, model: Any, **_: Any) -> tuple[Any, list[Any]]:
        """Return the module, and all its trained weights as one group with weight decay.

        OpenRLHF applies no weight decay to norms and biases.
        """
        module = model.model
        return module, [p for p in module.parameters() if p.requires_grad]


def strategy(args: SimpleNamespace, config: Config) -> Strategy:
    """Return the strategy for a config; it is sent to every training process."""
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
