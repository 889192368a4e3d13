"""One training step on a GPU: memory against the plan, speed, precision, and resuming.

    python -m benchmarks gpu

It needs no network: weights of Qwen2.5-VL-3B's shape are drawn at random, with the tiny model's
tokenizer. `--short` uses two layers, and with `--device cpu` everything runs on a CPU. Problems are
those of env=vision_r1. Sampling, the reference and one update are timed for grpo (groups of 8) and
mssr (one answer to each problem). Operations are counted as 2 for each weight and token, 6 with the
backward pass, 8 if activations are computed again; the machine's peak is a matrix product of 4,096.
Gradients in bfloat16 are compared with those in float32 on two layers. It does not run TRL; `step`
does.
"""

import json
import resource
import shutil
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig

from benchmarks import workloads
from benchmarks.command import BenchmarkReport, Parser, positive, say
from benchmarks.table import table
from mssr_rl.config.compose import load
from mssr_rl.engine import make_engine
from mssr_rl.engine.local import LocalEngine
from mssr_rl.engine_protocol import Rollouts, Sampling, UpdatePlan
from mssr_rl.errors import UserError
from mssr_rl.loss import Loss
from mssr_rl.models import TINY
from mssr_rl.planning import memory, prompt_sizes
from mssr_rl.planning.published import PUBLISHED

SHAPE = "Qwen/Qwen2.5-VL-3B-Instruct"
SIDE = 4096
GROUPS = {"grpo": 8, "mssr": 1}
HEADER = ("algorithm", "rollouts", "sampling s", "tokens/s", "reference s", "update s", "of peak")


class TimedStep(NamedTuple):
    """The times of one step, and its share of the machine's peak."""

    algorithm: str
    rollouts: int
    sampling: float  # seconds
    tokens: int  # sampled
    reference: float  # seconds
    update: float  # seconds
    share: float  # of the peak, in the update


def parser() -> Parser:
    """Return the parser of this benchmark's arguments."""
    arguments = Parser("gpu", __doc__)
    arguments.add_argument("--device", default="cuda", help="cuda or cpu")
    arguments.add_argument("--layers", type=positive, help="of the language model; all by default")
    arguments.add_argument("--rollouts", type=positive, default=16, help="in a step")
    arguments.add_argument("--response", type=positive, default=256, help="tokens of a response")
    arguments.add_argument("--lora", type=positive, default=16, help="rank of the adapters")
    arguments.add_argument("--targets", default="", help="layers with adapters; all by default")
    arguments.add_argument("--algorithms", default="grpo,mssr", help="some of grpo, mssr")
    return arguments


def measured(given: Namespace) -> BenchmarkReport:
    """Measure everything; the models are removed afterwards."""
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("torch finds no GPU here; --device cpu --short tries the benchmark itself")
    if given.short:
        given.layers, given.rollouts, given.response = 2, 8, 16
    with tempfile.TemporaryDirectory() as place:
        return _report(given, Path(place))


def _report(given: Namespace, place: Path) -> BenchmarkReport:
    words = _words(given, write(place / "model", given.layers))
    config = load(words)
    problems = workloads.posed(0, given.rollouts)
    planned = memory.need(config, prompt_sizes.measure(config, problems)).parts
    say(f"planned {memory.gb(planned.peak)}; loading")
    engine = make_engine(config)
    assert isinstance(engine, LocalEngine)
    rate = _products(given.device)
    steps = [
        _step(engine, name, given, rate) for name in given.algorithms.split(",") if name in GROUPS
    ]
    resumed = _resumes(engine, place / "checkpoint")
    peak = _peak_bytes(given.device)
    engine.close()
    del engine
    shutil.rmtree(place / "model")
    cosine = _cosine(given, write(place / "two", 2))
    results = {
        "device": _device(given.device),
        "options": words[1:],
        "planned_gb": planned.peak / memory.GIB,
        "measured_gb": peak / memory.GIB,
        "peak_tflops": rate / 1e12,
        "steps": [step._asdict() for step in steps],
        "bfloat16_cosine": cosine,
        "resumed_bit_for_bit": resumed,
    }
    return BenchmarkReport(_text(results, steps), results)


def _words(given: Namespace, folder: Path) -> list[str]:
    on_gpu = given.device.startswith("cuda")
    return [
        f"model.path={folder}",
        "algo=grpo",
        f"engine.device={given.device}",
        "engine.dtype=bfloat16",
        "engine.threads=1",
        "engine.checkpointing=true",
        f"engine.lora_rank={given.lora}",
        f"engine.lora_targets=[{given.targets}]",
        "engine.freeze_vision=true",
        f"train.micro_batch={8 if on_gpu else 1}",
        f"train.rollouts_per_step={8 * -(-given.rollouts // 8)}",
        f"train.samples_per_update={8 * -(-given.rollouts // 8)}",
        f"rollout.max_response_tokens={given.response}",
    ]


def write(folder: Path, layers: int | None) -> Path:
    """Write a model of Qwen2.5-VL-3B's shape with random weights, and the tiny model's tokenizer.

    With `layers`, the language model and the vision tower have only so many.
    """
    values = json.loads(json.dumps(PUBLISHED[SHAPE]))
    if layers is not None:
        values["text_config"]["num_hidden_layers"] = layers
        values["vision_config"] |= {"depth": layers, "fullatt_block_indexes": [layers - 1]}
    tiny = json.loads((TINY / "config.json").read_text("utf-8"))
    values |= {name: token for name, token in tiny.items() if name.endswith("_token_id")}
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    with torch.device("meta"):
        config = AutoConfig.for_model(**values)
        # The tokenizer's processor cuts pictures as the tiny model's tower does.
        config.vision_config.patch_size = tiny["vision_config"]["patch_size"]
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.to_empty(device="cpu")
    _draw(model)
    model.tie_weights()
    model.generation_config = GenerationConfig.from_pretrained(TINY)
    model.save_pretrained(folder)
    return folder


@torch.no_grad()
def _draw(model: torch.nn.Module) -> None:
    """Fill all weights from a million random numbers, which takes seconds for billions of them."""
    noise = 0.02 * torch.randn(1 << 20, generator=torch.Generator().manual_seed(1))
    numbers = noise.bfloat16()
    for name, weight in model.named_parameters():
        if weight.dim() == 1:
            weight.fill_(0.0 if name.endswith("bias") else 1.0)
            continue
        flat = weight.view(-1)
        for first in range(0, len(flat), len(numbers)):
            part = flat[first : first + len(numbers)]
            part.copy_(numbers[: len(part)])


def _step(engine: LocalEngine, name: str, given: Namespace, rate: float) -> TimedStep:
    """Time one step, after a short one that warms up."""
    group = min(GROUPS[name], given.rollouts)
    problems = workloads.posed(0, max(1, given.rollouts // group))
    sampling = Sampling(max_response_tokens=given.response)
    if given.device != "cpu":
        engine.rollout(problems[:1], group, Sampling(max_response_tokens=4), seed=1)
    with _timed(given.device) as sampled:
        rollouts = engine.rollout(problems, group, sampling, seed=1)
    say(f"{name}: sampled {int(rollouts.mask_BT.sum()):,} tokens in {sampled[0]:.1f} s")
    with _timed(given.device) as scored:
        reference_BT = engine.reference_logprob(rollouts)
    with _timed(given.device) as updated:
        _update(engine, rollouts, reference_BT)
    say(f"{name}: reference {scored[0]:.1f} s, update {updated[0]:.1f} s")
    weights = sum(p.numel() for p in engine.policy.get_decoder().parameters())
    tokens = int(rollouts.mask_BT.sum())
    work = 8 * weights * (tokens + rollouts.prompt_tokens)
    share = work / updated[0] / rate
    return TimedStep(
        name, len(rollouts.responses), sampled[0], tokens, scored[0], updated[0], share
    )


def _update(engine: LocalEngine, rollouts: Rollouts, reference_BT: Tensor) -> None:
    b = len(rollouts.responses)
    advantage_BT = torch.linspace(-1, 1, b + 1)[1:, None] * rollouts.mask_BT
    plan = UpdatePlan(loss=Loss(), samples_per_update=b, seed=1)
    engine.update(rollouts, advantage_BT, reference_BT, plan)


def _resumes(engine: LocalEngine, folder: Path) -> bool:
    """Return whether an update after loading a checkpoint gives the same weights bit for bit."""
    say("saving and resuming")
    problems, sampling = workloads.posed(0, 1), Sampling(max_response_tokens=8)
    rollouts = engine.rollout(problems, 1, sampling, seed=2)
    folder.mkdir()
    engine.save(folder)
    found = []
    for _ in range(2):
        _update(engine, rollouts, rollouts.logprob_BT)
        found.append(torch.cat([m.detach().flatten().cpu() for m in engine.weights.masters]))
        engine.load(folder)
    shutil.rmtree(folder)
    return torch.equal(*found)


def _cosine(given: Namespace, folder: Path) -> float:
    """Return the cosine between the gradients in bfloat16 and in float32, on two layers."""
    say("gradients in bfloat16 and float32")
    gradients, rollouts = [], None
    for dtype in ("float32", "bfloat16"):
        words = [w for w in _words(given, folder) if not w.startswith("engine.dtype")]
        engine = make_engine(load([*words, f"engine.dtype={dtype}"]))
        assert isinstance(engine, LocalEngine)
        if rollouts is None:
            sampling = Sampling(max_response_tokens=min(64, given.response))
            rollouts = engine.rollout(workloads.posed(0, 4), 1, sampling, seed=3)
        _update(engine, rollouts, rollouts.logprob_BT)
        parts = [m.grad.flatten().cpu() for _, m in engine.weights.named() if m.grad is not None]
        gradients.append(torch.cat(parts))
        engine.close()
    full, half = gradients
    return float(torch.nn.functional.cosine_similarity(full, half, dim=0))


@contextmanager
def _timed(device: str) -> Iterator[list[float]]:
    """Time a `with` block in seconds; work on a GPU is waited for."""
    found: list[float] = []
    started = time.perf_counter()
    yield found
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    found.append(time.perf_counter() - started)


def _products(device: str) -> float:
    """Return the fastest rate of a matrix product in bfloat16 [operations per second]."""
    side = SIDE if device.startswith("cuda") else SIDE // 8
    a = torch.ones(side, side, dtype=torch.bfloat16, device=device)
    seconds = []
    for _ in range(5):
        with _timed(device) as found:
            a @ a
        seconds.append(found[0])
    return 2 * side**3 / min(seconds)


def _peak_bytes(device: str) -> float:
    """Return the peak memory so far: of the GPU's allocator, or of this process."""
    if device.startswith("cuda"):
        return float(torch.cuda.max_memory_reserved())
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _device(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else "CPU"


def _text(results: dict[str, Any], steps: Sequence[TimedStep]) -> str:
    rows = [
        (s.algorithm, s.rollouts, s.sampling, s.tokens / s.sampling, s.reference, s.update, s.share)
        for s in steps
    ]
    return "\n".join(
        [
            f"{results['device']}, torch {torch.__version__}",
            table(HEADER, rows),
            "memory: planned {planned_gb:.1f} GB, measured {measured_gb:.1f} GB".format(**results),
            f"matrix product: {results['peak_tflops']:.1f} TFLOP/s in bfloat16",
            f"gradients in bfloat16: cosine {results['bfloat16_cosine']:.3f} to float32's",
            f"resumed bit for bit: {'yes' if results['resumed_bit_for_bit'] else 'NO'}",
        ]
    )
