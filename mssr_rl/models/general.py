"""The implementation of `family.Family` for any model that transformers has classes for.

It uses the model's own forward pass, cache and chat template. A block of prompts is padded on the
left and read once. In sampling, the rollouts of a group share the resulting key-value cache. In
training they share it if gradients pass through the cache. Code for single families is in
`families/`.

Shapes: P prompts, G rollouts a prompt, B = P * G, A rows still running, L prompt tokens, T response
tokens, V vocabulary.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from mssr_rl.data.pictures import decode
from mssr_rl.engine_protocol import Sampling
from mssr_rl.errors import UserError
from mssr_rl.models import grouped_attention
from mssr_rl.models.chat import ChatEncoder, collated
from mssr_rl.models.chunked_scores import USUAL, MemoryUse, score_states
from mssr_rl.models.family import Block, PictureRule, RawPrompt, SavedWeights, ScoredResponses
from mssr_rl.models.key_value_cache import PreallocatedLayer, differentiable, forked
from mssr_rl.models.processor import save_processor, sized
from mssr_rl.models.recompute import recompute_layers
from mssr_rl.models.sampled import DrawnTokens, Sampled, together
from mssr_rl.models.vocabulary import TokenScores, Vocabulary, draw, score_tokens
from mssr_rl.problem import Problem

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

Inputs = dict[str, Tensor]

WORTH_SHARING = 8  # tokens; an extra pass over a shorter common start costs more than it saves


class Described(NamedTuple):
    """The config and the class of a model, without its weights."""

    config: "PreTrainedConfig"
    kind: type  # transformers' class


class GeneralPrompts(NamedTuple):
    """The model's keyword arguments for a block of prompts, and those for each single prompt."""

    # input_ids, attention_mask and position_ids P L; pictures in the family's own form
    inputs: Inputs
    rows: tuple[Inputs, ...]

    @property
    def mask(self) -> Tensor:
        """The attention mask P L: 1 on real tokens, 0 on padding."""
        return self.inputs["attention_mask"]


class PromptReading(NamedTuple):
    """A block of prompts, and the cache and logits that the model computed from them.

    Cache and logits are None in training if rollouts cannot share their prompt's cache.
    """

    prompts: GeneralPrompts
    cache: Cache | None
    logits_PV: Tensor | None  # logits that predict the first response token


class General:
    """Any model family. The docstrings of `family.Family` describe the methods in full."""

    model_types: ClassVar[tuple[str, ...]] = ()  # of a subclass in `families/`
    # {keyword argument: the type of response tokens}; 0 for arguments that are not here.
    response_types: ClassVar[dict[str, int]] = {}

    def __init__(self, model: Described, encoder: ChatEncoder, vocabulary: Vocabulary) -> None:
        self.encoder, self.vocabulary = encoder, vocabulary
        self.tokenizer, self.opening = encoder.tokenizer, encoder.opening
        self.shares = differentiable(DynamicCache(config=model.config))
        # A sliding window counts places in the cache, and after a common start some of these are
        # padding. So only families without one share the start.
        self._shares_start = all(
            type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers
        )
        self.memory = USUAL
        self._scores_states: bool | None = None  # not known yet
        self.kind = model.kind.__name__
        self.said = self._implementation()

    def _implementation(self) -> str:
        return f"transformers' own {self.kind} with {self.encoder.said}; rollouts " + (
            "share their prompt's cache" if self.shares else "each read their prompt to train"
        )

    @classmethod
    def ready(cls) -> None:
        """Prepare transformers for this family; called before a processor is built from a folder.

        Here it does nothing; a family in `families/` can override it.
        """

    def prepare(self, model: "PreTrainedModel", memory: MemoryUse = USUAL) -> None:
        """Set the memory settings, and replace torch's attention by `grouped_attention`.

        A model with another kind of attention keeps it. Raises UserError if the model's class
        cannot apply the memory settings.
        """
        self.memory = memory
        if memory.checkpointing:
            if not recompute_layers(model):
                raise UserError(
                    f"engine.checkpointing=true has no effect: transformers' {self.kind} has no "
                    "layers for it; leave it out, and make passes smaller with train.micro_tokens"
                )
            self.shares = False
            self.said = self._implementation()
        if memory.logit_tokens is not None and not self.scores_states(model):
            raise UserError(
                f"engine.logit_tokens={memory.logit_tokens} has no effect: {self.kind} changes its "
                "logits after the output layer, so they are computed for all tokens; leave it out"
            )
        if model.config._attn_implementation == "sdpa":  # noqa: SLF001  there is no public name
            model.set_attn_implementation(grouped_attention.NAME)

    # ---- prompts ---------------------------------------------------------------------------

    def length(self, problem: Problem) -> int:
        """Return the number of tokens of a problem's prompt."""
        return self.encoder.inputs(problem)["input_ids"].shape[1]

    def block(self, problems: Sequence[Problem], device: str) -> Block:
        """Return the prompts of problems as one block on a device."""
        rows = tuple(self.encoder.inputs(problem) for problem in problems)
        rows = tuple({name: x.to(device) for name, x in row.items()} for row in rows)
        prompts = GeneralPrompts(collated(rows, self.vocabulary.pad), rows)
        pictured = torch.isin(prompts.inputs["input_ids"].cpu(), self.encoder.picture_tokens)
        return Block(prompts, int(prompts.mask.sum()), int(pictured.sum()))

    def picture_rule(self) -> PictureRule:
        """Return a rule that accepts every size, because the model's processor scales pictures."""
        return lambda _width, _height: None

    # ---- passes ----------------------------------------------------------------------------

    def read(self, model: "PreTrainedModel", block: Block) -> PromptReading:
        """Run the model on the prompts and return the result.

        With gradients enabled, and a cache that is not differentiable, only the prompts are
        returned.
        """
        prompts: GeneralPrompts = block.prompts
        if torch.is_grad_enabled() and not self.shares:
            return PromptReading(prompts, None, None)
        return self._read(model, prompts)

    def _read(self, model: "PreTrainedModel", prompts: GeneralPrompts) -> PromptReading:
        start = common_start(prompts) if self._shares_start else 0
        if start >= WORTH_SHARING:
            return _read_behind_start(model, prompts, start)
        cache = DynamicCache(config=model.config)
        positions = self.positions(model, prompts.inputs)
        out = model(
            **_precise(prompts.inputs, model.dtype),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        inputs = prompts.inputs | {"position_ids": positions}
        return PromptReading(
            prompts._replace(inputs=inputs), out.past_key_values, out.logits[:, -1]
        )

    def positions(self, model: "PreTrainedModel", inputs: Inputs) -> Tensor:
        """Return the position ids of the prompts' tokens, shape [P, L] or [axes, P, L]."""
        # Every family implements its counting in this method. A plain forward pass would keep state
        # in the model, and passes that run at the same time must not share state.
        counted: Tensor = model._prepare_position_ids_for_generation(  # noqa: SLF001
            inputs["input_ids"], dict(inputs)
        )
        return counted

    def sample(
        self,
        model: "PreTrainedModel",
        reading: PromptReading,
        sampling: Sampling,
        uniform_BT: Tensor,
    ) -> Sampled:
        """Return sampled responses; each step draws one token for all running rows.

        A row is one rollout; rows that have ended are removed from the block.
        """
        if reading.cache is None or reading.logits_PV is None:
            reading = self._read(model, reading.prompts)
        assert reading.cache is not None
        assert reading.logits_PV is not None
        b, limit = uniform_BT.shape
        behind_B = _prompt_of(reading, b)
        running = _GeneralRows.behind(reading, behind_B, limit)
        logits_AV = reading.logits_PV[behind_B]
        drawn: list[DrawnTokens] = []
        for t in range(limit):
            numbers_A = uniform_BT[running.row_A, t]
            token_A, scores = draw(logits_AV, numbers_A, self.vocabulary, sampling)
            drawn.append(DrawnTokens(running.row_A, running.going_A, token_A, *scores))
            running.going_A = running.going_A & ~torch.isin(token_A, self.vocabulary.end)
            if t == limit - 1 or not running.going_A.any():
                break
            token_A = running.compact(token_A)
            logits_AV = self._step(model, running, token_A, t)
        return together(drawn, b, self.vocabulary)

    def _step(
        self, model: "PreTrainedModel", running: "_GeneralRows", token_A: Tensor, t: int
    ) -> Tensor:
        out = model(
            input_ids=token_A[:, None],
            attention_mask=running.mask(t + 1),
            position_ids=running.position_A1 + t,
            past_key_values=running.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = out.logits[:, -1]
        return logits

    def score(
        self,
        model: "PreTrainedModel",
        reading: PromptReading,
        response: tuple[Tensor, Tensor],
        temperature: float,
    ) -> ScoredResponses:
        """Return the log-probability and entropy of every response token.

        The prompts' cache is used if there is one. Otherwise the model runs on prompts and
        responses together.
        """
        token_BT, mask_BT = response
        chosen = mask_BT.bool()
        at_once = self.memory.tokens_at_once(len(model.get_output_embeddings().weight))
        if int(chosen.sum()) > at_once and self.scores_states(model):
            scores = self._scores_of_states(model, reading, response, (temperature, at_once))
        else:
            logits_BTV = self._outputs(model, reading, response, states=False)
            scores = self.token_scores(logits_BTV[chosen], token_BT[chosen], temperature)
        empty_BT = torch.zeros_like(mask_BT, dtype=torch.float32)
        return ScoredResponses(*(empty_BT.masked_scatter(chosen, of_N) for of_N in scores))

    def scores_states(self, model: "PreTrainedModel") -> bool:
        """Return whether the logits are exactly the output layer applied to the last hidden states.

        Some classes scale or limit the logits afterwards. The first call tests it on two tokens,
        and later calls return the same result.
        """
        if self._scores_states is None:
            token_PL = self.vocabulary.end[:1].expand(1, 2)
            with torch.no_grad():
                states = model.base_model(input_ids=token_PL, use_cache=False).last_hidden_state
                logits = model(input_ids=token_PL, use_cache=False).logits
                self._scores_states = torch.equal(model.get_output_embeddings()(states), logits)
        return self._scores_states

    def _scores_of_states(
        self,
        model: "PreTrainedModel",
        reading: PromptReading,
        response: tuple[Tensor, Tensor],
        how: tuple[float, int],
    ) -> TokenScores:
        """Return the scores of all response tokens, with the logits of few tokens at a time.

        `how` is the temperature, and the number of tokens that have logits at once.
        """
        (token_BT, mask_BT), (temperature, at_once) = response, how
        chosen, head = mask_BT.bool(), model.get_output_embeddings()

        def score(logits_NV: Tensor, token_N: Tensor) -> TokenScores:
            return self.token_scores(logits_NV, token_N, temperature)

        states_BTD = self._outputs(model, reading, response, states=True)
        if reading.logits_PV is None:
            return score_states(states_BTD[chosen], head, token_BT[chosen], score, at_once)
        # The prompt's last state was read with the prompt; its logits are in the reading.
        behind_B = _prompt_of(reading, len(token_BT))
        first_B, later = chosen[:, 0], chosen[:, 1:]
        first = score(reading.logits_PV[behind_B][first_B], token_BT[:, 0][first_B])
        given = states_BTD[later], head, token_BT[:, 1:][later]
        rest = score_states(*given, score, at_once)
        empty_BT = torch.zeros_like(mask_BT, dtype=torch.float32)
        both = [
            torch.cat(
                (
                    empty_BT[:, :1].masked_scatter(first_B[:, None], a),
                    empty_BT[:, 1:].masked_scatter(later, b),
                ),
                1,
            )[chosen]
            for a, b in zip(first, rest, strict=True)
        ]
        return TokenScores(*both)

    def token_scores(self, logits_NV: Tensor, token_N: Tensor, temperature: float) -> TokenScores:
        """Return the scores of N tokens, from the logits that predict them."""
        return score_tokens(logits_NV, token_N, self.vocabulary, temperature)

    def _outputs(
        self,
        model: "PreTrainedModel",
        reading: PromptReading,
        response: tuple[Tensor, Tensor],
        *,
        states: bool,
    ) -> Tensor:
        """Return the logits B T V that predict the response tokens.

        With `states`, return the hidden states B T D instead. With a cache they are B (T - 1) D,
        because the prompt's logits, which the reading holds, predict the first token.
        """
        if reading.cache is None:
            return self._together(model, reading.prompts, response, states=states)
        assert reading.logits_PV is not None
        first = reading.logits_PV[_prompt_of(reading, len(response[0]))][:, None]
        if response[0].shape[1] == 1:
            return first[..., :0, :] if states else first
        later = self._behind(model, reading, response, states=states)
        return later if states else torch.cat((first, later), 1)

    def _behind(
        self,
        model: "PreTrainedModel",
        reading: PromptReading,
        response: tuple[Tensor, Tensor],
        *,
        states: bool,
    ) -> Tensor:
        """Return the outputs that predict all response tokens but the first.

        The model runs on the responses, with the prompts' cache before them.
        """
        assert reading.cache is not None
        token_BT, mask_BT = response
        behind_B = _prompt_of(reading, len(token_BT))
        # Padding is on the left, so the last column holds every prompt's last position.
        positions = reading.prompts.inputs["position_ids"][..., behind_B, -1:] + 1
        before_BL = reading.prompts.mask[behind_B]
        return _run(
            model,
            states=states,
            input_ids=token_BT[:, :-1],
            attention_mask=torch.cat((before_BL, mask_BT[:, :-1].to(before_BL)), 1),
            position_ids=positions + torch.arange(token_BT.shape[1] - 1, device=token_BT.device),
            past_key_values=forked(reading.cache, behind_B),
            use_cache=True,
        )

    def _together(
        self,
        model: "PreTrainedModel",
        prompts: GeneralPrompts,
        response: tuple[Tensor, Tensor],
        *,
        states: bool,
    ) -> Tensor:
        """Return the outputs that predict the response tokens, without the prompts' cache.

        The model runs on whole sequences: every rollout with a copy of its prompt before it.
        """
        group_size = len(response[0]) // len(prompts.rows)
        rows = [row for row in prompts.rows for _ in range(group_size)]
        width = response[0].shape[1]
        inputs = self._whole(model, rows, response)
        kept = {} if states else {"logits_to_keep": width + 1}
        return _run(model, states=states, **inputs, **kept, use_cache=False)[:, -width - 1 : -1]

    def sequences(
        self, model: "PreTrainedModel", problems: Sequence[Problem], response: tuple[Tensor, Tensor]
    ) -> Inputs:
        """Return left-padded prompts with their responses, as the model's keyword arguments."""
        device = response[0].device
        rows = [self.encoder.inputs(problem) for problem in problems]
        there = [{name: x.to(device) for name, x in row.items()} for row in rows]
        return self._whole(model, there, response)

    def _whole(
        self, model: "PreTrainedModel", rows: Sequence[Inputs], response: tuple[Tensor, Tensor]
    ) -> Inputs:
        prompts = collated(rows, self.vocabulary.pad)
        token_BT, mask_BT = response
        positions = self.positions(model, prompts)
        step_T = torch.arange(1, token_BT.shape[1] + 1, device=token_BT.device)
        mask = prompts["attention_mask"]
        whole = prompts | {
            "position_ids": torch.cat((positions, positions[..., -1:] + step_T), -1),
            "input_ids": torch.cat((prompts["input_ids"], token_BT), 1),
            "attention_mask": torch.cat((mask, mask_BT.to(mask)), 1),
        }
        for name in ("token_type_ids", "mm_token_type_ids"):
            if name in prompts:
                kind = self.response_types.get(name, 0)
                whole[name] = F.pad(prompts[name], (0, token_BT.shape[1]), value=kind)
        return _precise(whole, model.dtype)

    def asked(self, problem: Problem) -> RawPrompt:
        """Return a prompt for vLLM, with one token for each picture and pictures in final size."""
        inputs = self.encoder.inputs(problem)["input_ids"][0]
        return RawPrompt(
            tokens=self.encoder.signed_tokens(problem),
            pictures=[self._picture(data) for data in problem.images],
            length=len(inputs),
            image_tokens=int(torch.isin(inputs, self.encoder.picture_tokens).sum()),
        )

    def _picture(self, data: bytes) -> Image.Image:
        """Return a picture in the size that the model's processor scales it to."""
        processor = self.encoder.processor
        assert processor is not None  # the encoder refuses pictures for a model of text
        return sized(processor.image_processor, decode(data))

    def part(self, reading: PromptReading, rows: slice) -> PromptReading:
        """Return the part of a reading, the result of `read`, that belongs to some prompts.

        Picture inputs are left out, because their keys and values are in the cache.
        """
        assert reading.cache is not None
        assert reading.logits_PV is not None
        index = torch.arange(len(reading.prompts.rows), device=reading.logits_PV.device)[rows]
        names = ("input_ids", "attention_mask", "position_ids")
        inputs = {name: reading.prompts.inputs[name][..., index, :] for name in names}
        prompts = GeneralPrompts(inputs, reading.prompts.rows[rows])
        return PromptReading(prompts, forked(reading.cache, index), reading.logits_PV[index])

    # ---- state -----------------------------------------------------------------------------

    def save(self, model: "PreTrainedModel", folder: Path, weights: SavedWeights = None) -> None:
        """Write weights, config, tokenizer and processor; the folder loads without other files."""
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder, state_dict=weights)
        self.save_words(folder)

    def save_words(self, folder: Path) -> None:
        """Write the tokenizer and, if there is one, the processor."""
        if self.encoder.processor is None:
            self.tokenizer.save_pretrained(folder)
        else:
            save_processor(self.encoder.processor, folder)


def _run(model: "PreTrainedModel", *, states: bool, **inputs: Any) -> Tensor:
    """Return the model's logits, or with `states` the last hidden states."""
    outputs: Tensor = (
        model.base_model(**inputs).last_hidden_state if states else model(**inputs).logits
    )
    return outputs


def _prompt_of(reading: PromptReading, responses: int) -> Tensor:
    """Return the index of each response's prompt in the block, int64."""
    assert reading.logits_PV is not None
    device = reading.logits_PV.device
    return torch.arange(responses, device=device) // (responses // len(reading.logits_PV))


def common_start(prompts: GeneralPrompts) -> int:
    """Return how many tokens at the start are the same in all prompts of a block.

    For example, a chat template's first words, or the same examples before every problem. The
    result is 0 for a single prompt, and for prompts with pictures or other inputs.
    """
    rows = prompts.rows
    if len(rows) < 2 or any(set(row) - {"input_ids", "attention_mask"} for row in rows):
        return 0
    shortest = min(row["input_ids"].shape[1] for row in rows)
    begin_PL = torch.cat([row["input_ids"][:, :shortest] for row in rows])
    same_L = (begin_PL == begin_PL[0]).all(0).int()
    # Every prompt keeps one token of its own, which predicts the first token of its response.
    return min(int(same_L.cumprod(0).sum()), shortest - 1)


def _read_behind_start(
    model: "PreTrainedModel", prompts: GeneralPrompts, start: int
) -> PromptReading:
    """Return the cache and logits of prompts whose first `start` tokens are the same.

    These tokens are read once for all prompts. Padding is between them and the prompt's other
    tokens; positions and mask take this into account.
    """
    rows = prompts.rows
    begin = rows[0]["input_ids"][:, :start]
    shared = model(
        input_ids=begin,
        past_key_values=DynamicCache(config=model.config),
        use_cache=True,
        logits_to_keep=1,
    ).past_key_values
    own = collated([{name: x[:, start:] for name, x in row.items()} for row in rows], 0)
    begin_PL = begin.expand(len(rows), -1)
    mask_PL = torch.cat((torch.ones_like(begin_PL), own["attention_mask"]), 1)
    position_PL = (mask_PL.cumsum(1) - 1).clamp(min=0)
    every_P = torch.zeros(len(rows), dtype=torch.int64, device=begin.device)
    out = model(
        input_ids=own["input_ids"],
        attention_mask=mask_PL,
        position_ids=position_PL[:, start:],
        past_key_values=forked(shared, every_P),
        use_cache=True,
        logits_to_keep=1,
    )
    inputs = {
        "input_ids": torch.cat((begin_PL, own["input_ids"]), 1),
        "attention_mask": mask_PL,
        "position_ids": position_PL,
    }
    return PromptReading(prompts._replace(inputs=inputs), out.past_key_values, out.logits[:, -1])


def _precise(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    """Return the inputs with all floating-point tensors, such as pictures, in this dtype."""
    return {n: x.to(dtype) if x.is_floating_point() else x for n, x in inputs.items()}


class _GeneralRows:
    """The rows that are still sampled: the index of their rollout, and their keys and values."""

    def __init__(self, row_A: Tensor, cache: Cache, mask_AL: Tensor, position_A1: Tensor) -> None:
        self.row_A, self.going_A = row_A, torch.ones_like(row_A, dtype=torch.bool)
        self.cache, self.mask_AL, self.position_A1 = cache, mask_AL, position_A1
        self.padded = not bool(mask_AL.all())

    @classmethod
    def behind(cls, reading: PromptReading, behind_B: Tensor, limit: int) -> "_GeneralRows":
        """Return one row for each rollout, with a copy of its prompt's cache.

        The cache has free space for `limit` response tokens.
        """
        assert reading.cache is not None
        cache = forked(reading.cache, behind_B)
        # Other kinds of layers, such as sliding windows, keep their own way to add a token.
        cache.layers = [
            PreallocatedLayer(x, limit) if type(x) is DynamicLayer else x for x in cache.layers
        ]
        position_A1 = reading.prompts.inputs["position_ids"][..., behind_B, -1:] + 1
        mask_AL = reading.prompts.mask[behind_B]
        return cls(torch.arange(len(behind_B), device=behind_B.device), cache, mask_AL, position_A1)

    def mask(self, more: int) -> Tensor | None:
        """Return the attention mask, 1 on real tokens, with `more` response tokens.

        It is None if no prompt is padded, because attention is faster without a mask.
        """
        return F.pad(self.mask_AL, (0, more), value=1) if self.padded else None

    def compact(self, token_A: Tensor) -> Tensor:
        """Remove ended rows once they are an eighth of the block.

        Returns the tokens of the remaining rows.
        """
        left = int(self.going_A.sum())
        if left > 7 / 8 * len(token_A):
            return token_A
        keep = self.going_A.nonzero()[:, 0]
        self.cache.reorder_cache(keep)
        self.row_A, self.going_A = self.row_A[keep], self.going_A[keep]
        self.mask_AL, self.position_A1 = self.mask_AL[keep], self.position_A1[..., keep, :]
        return token_A[keep]
