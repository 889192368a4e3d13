"""Run one training step without its numbers, to find out how much memory it takes.

Torch's FakeTensorMode gives tensors that have a shape and no memory. The model, the optimiser and
the passes are those of `engine.local`; only the tokens are made up, and small integer tensors are
real, because lengths and places decide about shapes. Every tensor counts from the operation that
makes it until nothing refers to it. So no weights, no tokenizer and no GPU are needed, only the
model's config.

Torch's own MemTracker counts the same way, but fails on frozen weights (torch 2.13).
"""

import json
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from mssr_rl.engine_protocol import Sampling
from mssr_rl.models import decode, fused, lean, qwen2_5_vl, score
from mssr_rl.models.chunked_scores import MemoryUse, score_states
from mssr_rl.models.encode import PromptBlock
from mssr_rl.models.patches import Pictures
from mssr_rl.models.recompute import recompute_layers
from mssr_rl.models.vocabulary import TokenScores, Vocabulary, draw, score_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

    from mssr_rl.models.lora import LoraOptions

INTEGERS = ("aten.arange", "aten.full", "aten.scalar_tensor")  # without a dtype, of whole numbers


class PassShape(NamedTuple):
    """The problems, rollouts and tokens of one pass; all prompts and responses are equally long."""

    problems: int
    group_size: int  # rollouts of each problem
    prompt: int  # tokens of a prompt, with those of its picture
    picture: int  # tokens of the picture; 0: none
    response: int  # tokens of a response


class DryOptions(NamedTuple):
    """The options of an engine that change its memory."""

    dtype: str
    compiled: bool  # the passes use compiled kernels, as on a CPU in float32
    memory: MemoryUse = MemoryUse()
    lora: "LoraOptions | None" = None
    freeze_vision: bool = False
    keep_gradients: bool = True  # False: each is sent away as soon as it exists, as under ZeRO


class StepMemory(NamedTuple):
    """The memory of one step [bytes]; that of a phase is above what the run holds all the time."""

    weights: int  # of the policy; a reference that is a copy takes as much
    trained: int  # parameters that are trained, as a number
    masters: int  # float32 copies of trained weights
    sampling: int  # reading the prompts of a block, and drawing the last token of its responses
    scoring: int  # a pass without gradient
    update: int  # a pass with gradient, the gradients of its weights included
    saving: int  # weights with adapters added, for a policy that is saved

    @property
    def moments(self) -> int:
        """AdamW's two moments in float32."""
        return 8 * self.trained

    @property
    def gradients(self) -> int:
        """The sum of the gradients of micro-batches, in float32."""
        return 4 * self.trained


@cache
def measure(
    config: str, options: DryOptions, update: PassShape, sampled: PassShape | None
) -> StepMemory:
    """Return the memory of one step of a model with this config, `config.json` as text.

    `update` is the pass that trains and scores. `sampled` is the block that is sampled together;
    None if another program samples. A model of 36 layers takes some seconds.
    """
    values = json.loads(config)
    return _DryEngine(AutoConfig.for_model(**values), options).step(update, sampled)


class _DryEngine:
    def __init__(self, config: "PreTrainedConfig", options: DryOptions) -> None:
        self.options = options
        self.qwen = qwen2_5_vl.knows(config)
        self.policy = _skeleton(config, options)
        self.mode, self.meter = _Shapes(), _Meter()
        with self.mode:
            _give_shapes(self.policy)
        self.parameters = [p for p in self.policy.parameters() if p.requires_grad]

    def step(self, update: PassShape, sampled: PassShape | None) -> StepMemory:
        """Return the memory of all phases."""
        for x in (*self.policy.parameters(), *self.policy.buffers()):
            self.meter.track(x)
        weights, trained = self.meter.live, sum(p.numel() for p in self.parameters)
        copied = sum(4 * p.numel() for p in self.parameters if p.dtype != torch.float32)
        drawn = [weights]
        with _planned(compiled=self.options.compiled), self.mode, self.mode.integers():
            with self.meter.phase() as passed:
                self._update(update)
            with self.meter.phase() as scored, torch.no_grad():
                self._score(update)
            if sampled is not None:
                with self.meter.phase() as drawn, torch.no_grad():
                    self._sample(sampled)
        sampling, scoring, updating = (peak[-1] - weights for peak in (drawn, scored, passed))
        saving = _merged_bytes(self.policy)
        return StepMemory(weights, trained, copied, sampling, scoring, updating, saving)

    def _update(self, shape: PassShape) -> None:
        total = self._score(shape)[0].sum()
        if self.options.keep_gradients:
            torch.autograd.grad(total, self.parameters, allow_unused=True)
            return
        hooks = [p.register_post_accumulate_grad_hook(_send_away) for p in self.parameters]
        total.backward()
        for hook in hooks:
            hook.remove()

    def _score(self, shape: PassShape) -> TokenScores:
        if not self.qwen:
            return self._score_plainly(shape)
        model, response = self.policy, _response(shape)
        recompute = self.options.memory.checkpointing
        reading = lean.read_prompts(model, _prompts(model, shape), recompute=recompute)
        return TokenScores(*score.score(model, reading, response, 1.0, self.options.memory))

    def _score_plainly(self, shape: PassShape) -> TokenScores:
        """Score with transformers' own forward pass, in which each rollout has its own prompt."""
        model, rows = self.policy, shape.problems * shape.group_size
        token = torch.zeros(rows, shape.prompt + shape.response, dtype=torch.int64)
        states = model.base_model(input_ids=token, use_cache=False).last_hidden_state
        chosen = states[:, -shape.response :].flatten(0, 1)
        vocabulary = _vocabulary()

        def of_tokens(logits_NV: Tensor, token_N: Tensor) -> TokenScores:
            return score_tokens(logits_NV, token_N, vocabulary, 1.0)

        head = model.get_output_embeddings()
        at_once = self.options.memory.tokens_at_once(len(head.weight))
        given = token[:, -shape.response :].flatten()
        return score_states(chosen, head, given, of_tokens, at_once)

    def _sample(self, shape: PassShape) -> None:
        """Read the prompts, and draw the last token of every response."""
        model, rows = self.policy, shape.problems * shape.group_size
        head = model.get_output_embeddings().weight
        if self.qwen:
            cache, _ = lean.read_prompts(model, _prompts(model, shape))
            running = decode.start(cache, shape.group_size, shape.response)
            token = torch.zeros(rows, dtype=torch.int64)
            states = decode.advance(model, (running, token), shape.response - 1)
            self._draw(states, head)
        else:
            kept = _keys_values(model, rows * (shape.prompt + shape.response))
            self._draw(torch.empty(rows, head.shape[1], dtype=model.dtype), head)
            del kept

    def _draw(self, states: Tensor, head: Tensor) -> None:
        logits = torch.nn.functional.linear(states, head)
        draw(logits, torch.rand(len(states)), _vocabulary(), Sampling())


# ---- a model without numbers -----------------------------------------------------------------


def _skeleton(config: "PreTrainedConfig", options: DryOptions) -> "PreTrainedModel":
    """Return the model on torch's meta device, with its adapters."""
    from mssr_rl.models.load import sees

    auto = AutoModelForImageTextToText if sees(config) else AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config, dtype=getattr(torch, options.dtype)).eval()
        if options.freeze_vision or options.lora:
            from mssr_rl.models import lora

            if options.freeze_vision:
                lora.freeze_vision(model)
            if options.lora:
                lora.Adapters(model, options.lora)
    if options.memory.checkpointing and not qwen2_5_vl.knows(config):
        recompute_layers(model)
    found: PreTrainedModel = model
    return found


def _send_away(parameter: Tensor) -> None:
    parameter.grad = None


def _give_shapes(model: Any) -> None:
    """Replace every tensor of a model on the meta device by one of the same shape on the CPU."""
    made: dict[Tensor, Tensor] = {}  # a tied weight stays one weight
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):  # noqa: SLF001  to be replaced
            for name, x in tensors.items():
                if x is None:
                    continue
                if x not in made:
                    y = torch.empty(x.shape, dtype=x.dtype, device="cpu")
                    trained = isinstance(x, torch.nn.Parameter)
                    made[x] = torch.nn.Parameter(y, x.requires_grad) if trained else y
                tensors[name] = made[x]


def _merged_bytes(model: torch.nn.Module) -> int:
    """Return the bytes of the weights that get a sum with their adapters when a policy is saved."""
    return sum(
        p.nbytes for name, p in model.named_parameters() if name.endswith(".base_layer.weight")
    )


def _keys_values(model: "PreTrainedModel", tokens: int) -> Tensor:
    """Return a tensor as large as the keys and values of so many tokens in all layers."""
    text = model.config.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    shape = (2, text.num_hidden_layers, tokens, text.num_key_value_heads, size)
    return torch.empty(shape, dtype=model.dtype)


def _vocabulary() -> Vocabulary:
    """Return a vocabulary in which one token is forbidden; ids do not change the memory."""
    return Vocabulary(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64), 0)


def _prompts(model: Any, shape: PassShape) -> PromptBlock:
    """Return prompts of one length, each with one picture that is as square as possible."""
    p, length = shape.problems, shape.prompt
    position = torch.arange(length).expand(3, p, length)
    mask = torch.ones(p, length, dtype=torch.bool)
    token, after = torch.zeros(p, length, dtype=torch.int64), torch.full((p,), length)
    return PromptBlock(token, mask, position, after, _pictures(model, shape))


def _pictures(model: Any, shape: PassShape) -> tuple[Pictures, ...]:
    if not shape.picture:
        return ()
    vision = model.config.vision_config
    down = int(shape.picture**0.5)
    across = shape.picture // down
    side = vision.patch_size * vision.spatial_merge_size
    pixel = torch.zeros(shape.problems, 3, down * side, across * side, dtype=torch.uint8)
    place = torch.arange(shape.problems * shape.prompt).view(shape.problems, shape.prompt)
    slots = place[:, : down * across].contiguous()
    value = torch.zeros(3, 256, dtype=torch.float32)
    return (Pictures(pixel, value, slots, vision.patch_size, vision.spatial_merge_size),)


def _response(shape: PassShape) -> tuple[Tensor, Tensor]:
    rows = shape.problems * shape.group_size
    token = torch.zeros(rows, shape.response, dtype=torch.int64)
    return token, torch.ones(rows, shape.response, dtype=torch.int64)


# ---- torch's modes ---------------------------------------------------------------------------


class _Shapes(FakeTensorMode):
    """FakeTensorMode in which integers and bools can be real."""

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self._integers = False

    @contextmanager
    def integers(self) -> Iterator[None]:
        """Compute with real integers in a `with` block, wherever no other number takes part."""
        self._integers = True
        try:
            yield
        finally:
            self._integers = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._integers and _is_real(func, args, kwargs):
            return func(*args, **kwargs)
        return super().__torch_dispatch__(func, types, args, kwargs)


def _is_real(func: Any, args: Any, kwargs: Any) -> bool:
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    if tensors:
        return not any(isinstance(x, FakeTensor) for x in tensors)
    dtype = kwargs.get("dtype")
    if dtype is None:
        return str(func).startswith(INTEGERS)
    return not dtype.is_floating_point


class _Meter(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def track(self, x: Tensor) -> None:
        """Count a tensor's memory, if it is not counted yet, until it is freed."""
        storage = x.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key in self._alive:
            return

        def freed(_: Any) -> None:
            self.live -= size
            del self._alive[key]

        self._alive[key] = weakref.ref(storage, freed)
        self.live += size
        self.peak = max(self.peak, self.live)

    @contextmanager
    def phase(self) -> Iterator[list[int]]:
        """Count what a `with` block makes; its peak is in the list afterwards."""
        self.peak = self.live
        found: list[int] = []
        with self:
            yield found
        found.append(self.peak)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for x in tree_leaves(made):
            if isinstance(x, Tensor):
                self.track(x)
        return made


@contextmanager
def _planned(*, compiled: bool) -> Iterator[None]:
    """Take the branches of the device that is planned for, and run no compiled code."""
    before = fused.planned
    fused.planned = fused.Planned(compiled)
    try:
        yield
    finally:
        fused.planned = before
