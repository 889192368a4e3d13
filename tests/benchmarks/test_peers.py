"""Sides of a comparison take turns in processes of their own, and a side that dies is named."""

import sys
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.peers import Call, Side
from mssr_rl.errors import RunFailed

SIDE = """
import sys
from benchmarks.peers import Channel, options
told, channel, turn = options(), Channel(), 0
print("chatter")  # reaches the log, not the driver
channel.ready()
while channel.wait():
    if turn == told["dies"]:
        sys.exit("out of luck")
    channel.tell(turn=turn, word=told["word"])
    turn += 1
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """A side that counts its turns."""
    (tmp_path / "counting.py").write_text(SIDE, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Call("counter", "counting", {"dies": 99, "word": "x"}, sys.executable)


def test_sides_take_turns_and_the_first_one_is_forgotten(call: Call) -> None:
    other = call._replace(name="other", options={"dies": 99, "word": "y"})
    with peers.seated([call, other]) as sides:
        peers.rounds(sides, 2)
        assert [[r["turn"] for r in side.records] for side in sides] == [[1, 2], [1, 2]]
        assert [side.records[0]["word"] for side in sides] == ["x", "y"]
        assert 1 <= peers.cost(sides[0]).batches <= 2  # a turn that was not quiet is not counted
        assert all(record["peak_rss_mib"] > 1 for record in sides[0].records)


def test_a_side_that_dies_is_named_with_its_last_words(call: Call) -> None:
    side = Side(call._replace(options={"dies": 1, "word": "x"}))
    try:
        side.hear()
        side.turn()
        with pytest.raises(RunFailed, match="counter ended before its turn did: out of luck"):
            side.turn()
    finally:
        side.close()
