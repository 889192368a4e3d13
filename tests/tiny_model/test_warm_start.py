"""The command that made the tiny model, in seconds: it learns, and resumes bit for bit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from mssr_rl.engine.local import LocalEngine, LocalOptions
from mssr_rl.envs.environment import ProblemEnv
from mssr_rl.envs.mini import mini_problems
from mssr_rl.models import TINY
from mssr_rl.models.load import save_model
from tiny_model import model_card, supervised, warm_start
from tiny_model.warm_start import WarmStart, learning_rate, train

pytestmark = pytest.mark.slow

PLAN = WarmStart(examples=120, steps=6, easy_steps=3, batch=4)


def weights(trained: warm_start.WarmStarted) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trained.model.parameters()])


def test_what_was_begun_earlier_goes_on_bit_for_bit(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    whole = train(PLAN, tmp_path / "whole")
    train(replace(PLAN, steps=4), tmp_path / "parts")
    parts = train(PLAN, tmp_path / "parts")
    assert torch.equal(weights(whole), weights(parts))
    assert not torch.equal(weights(whole), weights(train(replace(PLAN, seed=2), tmp_path / "two")))


def test_its_folder_loads_and_its_card_has_every_column(tmp_path: Path) -> None:
    trained = train(replace(PLAN, steps=2), tmp_path / "work")
    save_model(trained.model, trained.encoder.processor, tmp_path / "tiny")
    engine = LocalEngine(LocalOptions(model=str(tmp_path / "tiny")))
    cells = {tuple(sorted(problem.tags.items())): problem for problem in mini_problems("val")}
    some = list(cells.values())  # one of every family and level
    measured = model_card.measure(engine, ProblemEnv(some, name="mini", split="val"))
    said = warm_start.facts(PLAN, trained)
    model_card.write(tmp_path / "tiny", said, measured)
    written = (tmp_path / "tiny" / "README.md").read_text()
    assert "| problems | n | greedy | mean@1 | pass@8 | mixed | grey picture |" in written
    assert all(line in written for line in said)
    assert 1_000_000 < sum(p.numel() for p in trained.model.parameters()) < 6_000_000


def test_a_few_steps_on_the_same_examples_lower_their_loss() -> None:
    examples = supervised.draw_examples(4, workers=1)
    torch.manual_seed(0)
    model, encoder = warm_start.build(PLAN, examples)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(8):
        loss = supervised.loss(model, encoder, examples, PLAN.hasty_share)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_the_learning_rate_rises_and_falls_to_a_tenth() -> None:
    plan = WarmStart()
    assert learning_rate(plan, 0) == pytest.approx(plan.lr / 100)
    assert learning_rate(plan, 100) == pytest.approx(plan.lr)
    assert learning_rate(plan, plan.schedule) == pytest.approx(plan.lr / 10)


def test_its_tokenizer_and_its_shape_are_those_of_the_shipped_folder(tmp_path: Path) -> None:
    """What is fixed before the first step; all steps take 13 minutes on a CPU."""
    examples = supervised.draw_examples(6_000, workers=2)
    model, encoder = warm_start.build(WarmStart(), examples)
    save_model(model, encoder.processor, tmp_path / "tiny")
    for name in ("tokenizer.json", "config.json", "generation_config.json", "chat_template.jinja"):
        made, shipped = ((f / name).read_text("utf-8") for f in (tmp_path / "tiny", TINY))
        assert made == shipped, name
    with safe_open(TINY / "model.safetensors", "pt") as weights:
        shapes = {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    assert shapes == {
        n: tuple(v.shape) for n, v in load_file(tmp_path / "tiny" / "model.safetensors").items()
    }


def test_one_command_makes_a_ladder_of_starts_for_text_twins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[int, Path]] = []

    def write(plan: WarmStart, trained: warm_start.WarmStarted, out: Path) -> None:
        # Measuring a model takes most of a minute; the test above does it.
        save_model(trained.model, trained.encoder.processor, out)
        written.append((plan.steps, out))

    monkeypatch.setattr(warm_start, "write", write)
    words = f"--out {tmp_path / 'starts'} --work {tmp_path / 'work'} --steps 2,1 --scene words"
    warm_start.main([*words.split(), "--examples", "40", "--size", "small", "--threads", "1"])
    assert written == [(n, tmp_path / "starts" / f"step_{n}") for n in (1, 2)]
    one, two = (load_file(folder / "model.safetensors") for _, folder in written)
    assert any(not torch.equal(one[name], two[name]) for name in one)
    assert sum(weight.numel() for weight in two.values()) < 500_000
    # A shorter ladder finds its rung, although a longer one was made before.
    again = train(
        WarmStart(examples=40, steps=1, size="small", scene="words"),
        tmp_path / "work" / "small-words",
    )
    save_model(again.model, again.encoder.processor, tmp_path / "again")
    found = load_file(tmp_path / "again" / "model.safetensors")
    assert all(torch.equal(found[name], one[name]) for name in one)
