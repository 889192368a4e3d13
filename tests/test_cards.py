"""docs/algorithms.md says what the code does: its generated parts are those of today."""

from pathlib import Path

from mssr_rl import cards
from mssr_rl.algos import algorithms

DOCUMENT = Path(__file__).parents[1] / "docs" / "algorithms.md"


def test_the_cards_are_up_to_date() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    fresh = cards.updated(text)
    assert text == fresh, "run: python -m mssr_rl.cards docs/algorithms.md"


def test_a_card_names_chain_groups_loss_and_options() -> None:
    text = cards.facts("dr_grpo")
    assert "chain: `subtract_group_mean > to_tokens`" in text
    assert "rollouts per problem: 8, at least 2" in text
    assert "loss: the common one, but kl_coef=0.0, aggregate=seq-mean-token-sum-norm" in text
    assert "| `gamma` | `0.4` |" in cards.facts("mssr")
    assert "before step 1: 8 to every training problem" in cards.facts("spo")
    assert "up to 10 batches a step" in cards.facts("dapo")


def test_a_stale_card_is_noticed_and_mended(tmp_path: Path) -> None:
    stale = DOCUMENT.read_text(encoding="utf-8").replace("| `gamma` | `0.4` |", "| `gamma` | `2` |")
    copy = tmp_path / "algorithms.md"
    copy.write_text(stale, encoding="utf-8")
    assert cards.updated(stale) != stale
    cards.update_cards([str(copy)])
    assert copy.read_text(encoding="utf-8") == DOCUMENT.read_text(encoding="utf-8")


def test_an_algorithm_without_a_card_gets_one_at_the_end() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    begin, end = text.index("### mssr\n"), text.index("### mvsr_released\n")
    fresh = cards.updated(text[:begin] + text[end:])
    assert fresh != text
    assert fresh.endswith(f"### mssr\n\n<!-- facts mssr -->\n{cards.facts('mssr')}<!-- end -->\n")


def test_every_card_has_a_heading_of_its_name() -> None:
    headings = DOCUMENT.read_text(encoding="utf-8").splitlines()
    assert {f"### {name}" for name in algorithms.names()} <= set(headings)
