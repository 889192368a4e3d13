"""A config.yaml that training did not write: tags, aliases, interpolation, size, depth."""

import time
from pathlib import Path

import pytest

from mssr_rl.config import compose
from mssr_rl.errors import UserError


def alias_bomb() -> str:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    for one, other in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{other}: &{other} [{','.join([f'*{one}'] * 10)}]")
    return "\n".join(lines)


YAMLS = {
    "!!python/object/apply:os.system ['touch marker']": "the tag",
    "algo: !!python/name:os.system": "the tag",
    "algo: !mine {name: mssr}": "the tag",
    "algo: {name: mssr}\nseed: ${oc.env:HOME}": "interpolation",
    "algo: {name: mssr, _target_: os.system}": "_target_",
    "seed: &one 1\nbudget: {rollouts: *one}": "anchors",
    alias_bomb(): "anchors",
    "a: " + "[" * 10_000 + "]" * 10_000: "levels deep",
    "a: " + "x" * 10_000_000: "longer than",
    "a: [": "not YAML",
}


@pytest.mark.parametrize("text", YAMLS, ids=list(YAMLS.values()))
def test_a_config_that_training_did_not_write_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(text)
    begun = time.process_time()
    with pytest.raises(UserError, match=f"is refused: .*{YAMLS[text]}"):
        compose.read_config(tmp_path / "config.yaml")
    assert time.process_time() - begun < 3  # an alias bomb would take for ever
    assert not (tmp_path / "marker").exists()
