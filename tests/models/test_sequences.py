"""Left-padded rows through transformers' own forward give what the local engine computes."""

import pytest
import torch

from mssr_rl.envs.families import row
from mssr_rl.models import lean
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.load import load_model, load_processor
from mssr_rl.models.score import score
from mssr_rl.models.sequences import join
from mssr_rl.models.vocabulary import Vocabulary, log_probabilities
from mssr_rl.problem import Problem
from mssr_rl.prompts import posed


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    """One of each of four families."""
    made = [row(f, "val", 1, i) for i, f in enumerate(("bar", "clock", "dice", "frac"))]
    asked = [
        Problem(key=m["id"], prompt=m["problem"], answer="1", images=(m["images"][0]["bytes"],))
        for m in made
    ]
    return [posed(problem, "short") for problem in asked]


@pytest.fixture(scope="module")
def encoder() -> PromptEncoder:
    return PromptEncoder(load_processor("tiny"), 1024)


@pytest.fixture
def mixed(problems) -> list[Problem]:
    """Prompts of several lengths, one without a picture and one with two."""
    text = Problem(key="text", prompt="What is 2 + 3?", answer="5")
    both = problems[0].images + problems[1].images
    two = Problem(key="two", prompt="<image> or <image>?", answer="1", images=both)
    return [problems[2], text, two, problems[3]]


def test_the_whole_model_on_joined_rows_scores_as_the_lean_pass(encoder, mixed) -> None:
    model = load_model("tiny", "cpu", "float32")
    token_BT = torch.randint(20, 600, (4, 6), generator=torch.Generator().manual_seed(1))
    mask_BT = (torch.arange(6) < torch.tensor([[6], [1], [4], [5]])).float()
    rows = join(encoder, mixed, token_BT, mask_BT)
    with torch.no_grad():
        inputs = rows.inputs("cpu", torch.float32)
        logits = model(**inputs, logits_to_keep=7, use_cache=False).logits[:, :-1]
        expected = score(
            model, lean.read_prompts(model, encoder.block(mixed)), (token_BT, mask_BT), 0.7
        ).logprob_BT
    logprob = log_probabilities(logits, Vocabulary.of(model), 0.7)
    found = logprob.gather(2, token_BT[..., None])[..., 0] * mask_BT
    assert torch.allclose(found, expected, atol=1e-4)


def test_rows_end_together_and_pictures_stand_in_order(encoder, mixed) -> None:
    token_BT, mask_BT = torch.full((4, 3), 30), torch.ones(4, 3)
    rows = join(encoder, mixed, token_BT, mask_BT)
    assert torch.equal(rows.token_BS[:, -3:], token_BT)
    assert bool((rows.mask_BS[:, -3:] == 1).all())
    assert rows.grid_N3 is not None
    assert rows.patch_QC is not None
    assert len(rows.grid_N3) == 4
    assert int(rows.grid_N3.prod(1).sum()) == len(rows.patch_QC)
    alone = [join(encoder, [p], token_BT[:1], mask_BT[:1]).patch_QC for p in mixed]
    assert torch.equal(rows.patch_QC, torch.cat([p for p in alone if p is not None]))


def test_prompts_without_pictures_have_no_picture_inputs(encoder, mixed) -> None:
    rows = join(encoder, [mixed[1]], torch.full((1, 2), 30), torch.ones(1, 2))
    assert rows.patch_QC is None
    assert set(rows.inputs("cpu", torch.float32)) == {"input_ids", "attention_mask", "position_ids"}
