"""TRL's side of `benchmarks.step`: its GRPOTrainer or RLOOTrainer, which waits after every batch.

It has the same model, problems, verifier, response limit, samples and updates as our side. The
settings are the fastest that were found on a CPU: micro-batches as large as an update, no gradient
checkpointing, no reporting. The benchmark refuses the figures if pictures did not reach the vision
tower, or if the number of updates is wrong. So pictures and updates are counted here.
"""

import io
import tempfile
from collections import Counter
from typing import Any

import torch
from datasets import Dataset
from PIL import Image
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from benchmarks import workloads
from benchmarks.peers import Channel, options
from mssr_rl.envs import environments
from mssr_rl.exporters import trl_reward
from mssr_rl.models.load import load_model, load_processor
from mssr_rl.problem import Problem
from mssr_rl.prompts import IMAGE

TRAINERS = {"grpo": (GRPOTrainer, GRPOConfig), "rloo": (RLOOTrainer, RLOOConfig)}


class TrlTurns(TrainerCallback):  # type: ignore[misc]
    """A callback that ends a turn after the last update of a rollout batch."""

    def __init__(self, channel: Channel, seen: Counter[str], *, sees: bool) -> None:
        self.channel, self.seen, self.sees = channel, seen, sees

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Wait for the first turn; the trainer is ready, and nothing is sampled yet."""
        self.channel.ready()
        if not self.channel.wait():
            raise SystemExit

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count an update; after the last update of a batch, end the turn and wait for the next."""
        self.seen["updates"] += 1
        if state.global_step % args.steps_per_generation:
            return
        samples = self.seen["samples"]
        self.channel.tell(
            samples=samples,
            updates=self.seen["updates"],
            **({"pictures": self.seen["pictures"]} if self.sees else {}),
            tokens=self.seen["tokens"] / max(1, samples),
        )
        self.seen.clear()
        control.should_training_stop = not self.channel.wait()


def main(told: dict[str, Any]) -> None:
    """Train with TRL, one rollout batch at each turn.

    `told` holds `algo`, `threads`, `model`, `limit` in tokens, and `env`.
    """
    channel, seen = Channel(), Counter[str]()
    torch.set_num_threads(told["threads"])
    model = load_model(told["model"], "cpu", "float32")
    sees = told["env"] == workloads.ENV
    if sees:
        model.model.visual.register_forward_pre_hook(_counting_pictures(seen), with_kwargs=True)
    words = load_processor(told["model"]) if sees else AutoTokenizer.from_pretrained(told["model"])
    trainer_class, _ = TRAINERS[told["algo"]]
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_class(
            model=model,
            reward_funcs=[_counting(trl_reward(told["env"]), seen)],
            args=_config(told, folder),
            train_dataset=_dataset(told["env"]),
            processing_class=words,
            callbacks=[TrlTurns(channel, seen, sees=sees)],
        )
        trainer.train()


def _config(told: dict[str, Any], folder: str) -> Any:
    _, config_class = TRAINERS[told["algo"]]
    return config_class(
        output_dir=folder,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        per_device_train_batch_size=workloads.PER_UPDATE,
        steps_per_generation=workloads.SAMPLES // workloads.PER_UPDATE,
        num_generations=workloads.GROUP,
        max_completion_length=told["limit"],
        max_steps=10**6,
        temperature=1.0,
        beta=workloads.KL,
        learning_rate=workloads.LR,
        generation_kwargs={"suppress_tokens": workloads.banned(told["model"]) or None},
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def _dataset(env: str) -> Any:
    """Return the problems as a data set with TRL's columns.

    The column `key` tells our reward which problem a response answers.
    """
    problems = environments.make(env, split="train").problems
    return Dataset.from_list([_row(problem) for problem in problems])


def _row(problem: Problem) -> dict[str, Any]:
    """Return a problem as a row of the data set.

    A picture gets its own column, because TRL puts it before the text of the prompt.
    """
    if not problem.images:
        return {"prompt": [{"role": "user", "content": problem.prompt}], "key": problem.key}
    before, _, text = problem.prompt.partition(IMAGE)
    assert not before
    assert len(problem.images) == 1
    picture = Image.open(io.BytesIO(problem.images[0])).convert("RGB")
    prompt = [{"role": "user", "content": text}]
    return {"prompt": prompt, "image": picture, "key": problem.key}


def _counting(reward: Any, seen: Counter[str]) -> Any:
    """Return a function that computes the reward and also counts responses and their tokens."""

    def counted(completions: Any, completion_ids: Any, **columns: Any) -> Any:
        seen["samples"] += len(completions)
        seen["tokens"] += sum(map(len, completion_ids))
        return reward(completions=completions, **columns)

    return counted


def _counting_pictures(seen: Counter[str]) -> Any:
    def count(_: Any, given: Any, named: Any) -> None:
        seen["pictures"] += len(named["grid_thw"] if "grid_thw" in named else given[1])

    return count


if __name__ == "__main__":
    main(options())
