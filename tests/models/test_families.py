"""Twins of the field's families train as plain transformers says they should."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from mssr_rl.data.pictures import decode
from mssr_rl.errors import UserError
from mssr_rl.models import families
from mssr_rl.models.general import General, PromptReading


def module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


trial = module("trial")
NAMES = list(trial.twins.TWINS)
VISION = NAMES[: NAMES.index("qwen2")]
# Linear attention sums in blocks of 64 tokens, token by token when sampling: other roundings.
LOOSE = {"qwen3_5": 1e-4}
VARIED = ("qwen3_vl", "idefics3", "gemma2")  # one of each kind, for every commit


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = trial.twins.write(name, tmp_path_factory.mktemp(name))
        return made[name]

    return folder


def marked(names):
    return [n if n in VARIED else pytest.param(n, marks=pytest.mark.slow) for n in names]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_family_agrees_with_transformers_trains_and_resumes_bit_for_bit(name, twin, tmp_path):
    result = trial.trial(name, twin(name), tmp_path)
    assert result.gap <= LOOSE.get(name, trial.GAP)
    assert result.rescored <= LOOSE.get(name, trial.GAP)
    assert result.greedy
    assert result.moved
    assert result.resumed


@pytest.mark.slow
@pytest.mark.parametrize("name", marked(VISION))
def test_a_block_is_what_the_processor_makes_of_the_batch(name, twin):
    engine = trial.engine_of(twin(name))
    if not isinstance(engine.family, General):
        pytest.skip("encodes by itself; tests/models/test_lean.py holds it to the processor")
    problems = trial.PICTURED  # one picture and two, of several sizes
    family, processor = engine.family, engine.family.encoder.processor
    block = family.block(problems, "cpu")
    processor.tokenizer.padding_side = "left"
    processor.tokenizer.pad_token_id = family.vocabulary.pad
    stock = processor(
        text=[family.encoder.text(problem) for problem in problems],
        images=[[decode(data) for data in problem.images] for problem in problems],
        add_special_tokens=name == "paligemma",
        padding=True,
        return_tensors="pt",
    )
    ours = block.prompts.inputs
    assert ours.keys() <= stock.keys()
    for key in ours:
        assert torch.equal(ours[key], stock[key]), key


@pytest.mark.parametrize("name", marked([n for n in NAMES if n != "qwen2_5_vl"]))
def test_a_shared_prompt_scores_as_if_every_rollout_had_read_its_own(name, twin):
    engine = trial.engine_of(twin(name))
    problems = trial.problems_for(engine)
    family, block = engine.family, engine.family.block(problems, "cpu")
    generator = torch.Generator().manual_seed(0)
    token_BT = torch.randint(20, 500, (2 * len(problems), 7), generator=generator)
    mask_BT = (torch.arange(7) < torch.arange(2 * len(problems))[:, None] % 7 + 1).float()
    with torch.no_grad():
        reading = family.read(engine.policy, block)
        shared = family.score(engine.policy, reading, (token_BT, mask_BT), 1.0)
        alone = PromptReading(block.prompts, None, None)
        apart = family.score(engine.policy, alone, (token_BT, mask_BT), 1.0)
    tolerance = LOOSE.get(name, trial.GAP)
    assert torch.allclose(shared.logprob_BT, apart.logprob_BT, atol=tolerance)
    assert torch.allclose(shared.entropy_BT, apart.entropy_BT, atol=tolerance)
    assert (shared.logprob_BT[mask_BT == 0] == 0).all()


def test_a_rollout_depends_on_its_own_numbers_not_on_its_neighbours(twin):
    engine = trial.engine_of(twin("gemma2"))
    many = engine.rollout(trial.TEXT, 4, trial.Sampling(max_response_tokens=9), seed=3)
    alone = trial.engine_of(twin("gemma2"))
    alone.options = trial.replace(alone.options, micro_batch=1)
    one = alone.rollout(trial.TEXT, 4, trial.Sampling(max_response_tokens=9), seed=3)
    assert one.responses == many.responses


def test_a_text_model_refuses_a_picture_by_the_name_of_its_problem(twin):
    engine = trial.engine_of(twin("gemma2"))
    with pytest.raises(UserError, match="square has a picture, and this model reads text only"):
        engine.rollout(trial.PICTURED[:1], 1, trial.Sampling(), seed=0)


def test_a_picture_sign_in_a_text_is_refused_by_the_name_of_its_problem(twin):
    engine = trial.engine_of(twin("qwen3_vl"))
    forged = trial.replace(trial.TEXT[0], key="forged", prompt="how many <|image_pad|>?")
    with pytest.raises(UserError, match="the text of forged holds"):
        engine.family.length(forged)


def test_a_family_that_needs_nothing_of_its_own_needs_no_file(twin):
    own = {name for name in families.known() if name in NAMES}
    assert own == {"paligemma", "smolvlm"}
