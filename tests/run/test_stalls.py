"""A phase that lasts too long is shown, then stopped, even if it does not listen."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mssr_rl.config import FaultConfig
from mssr_rl.run import stalls
from mssr_rl.run.pulse import Pulse
from mssr_rl.run.stalls import Stalled, Watch

pytestmark = pytest.mark.slow


def limits(stall: float, stop: float) -> FaultConfig:
    return FaultConfig(stall_seconds=stall, stop_seconds=stop)


def test_a_quick_phase_is_left_alone(tmp_path: Path) -> None:
    said: list[str] = []
    pulse = Pulse(tmp_path, 3)
    with Watch(pulse, limits(0.6, 0.8), tmp_path, said.append):
        for phase in ("rollout", "reward", "update") * 2:
            pulse.enter(phase, 0, 0)
            time.sleep(0.25)
    assert said == []
    assert not (tmp_path / "stacks.txt").exists()


def test_a_slow_phase_is_shown_once_with_every_stack(tmp_path: Path) -> None:
    said: list[str] = []
    pulse = Pulse(tmp_path, 3)
    with Watch(pulse, limits(0.2, 0), tmp_path, said.append):
        pulse.enter("rollout", 2, 0)
        time.sleep(1.2)
    assert len(said) == 1
    assert "the phase rollout after step 2 has lasted" in said[0]
    stacks = (tmp_path / "stacks.txt").read_text()
    assert stacks.count("all stacks") == 1
    assert "test_a_slow_phase_is_shown_once" in stacks


def test_zero_switches_both_off(tmp_path: Path) -> None:
    with Watch(Pulse(tmp_path, 3), limits(0, 0), tmp_path, pytest.fail):
        time.sleep(0.7)


def test_the_heartbeat_stays_young_in_a_long_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host tells a live owner of the directory by it."""
    monkeypatch.setattr(stalls, "RENEWED", 0.3)
    pulse = Pulse(tmp_path, 3)
    with Watch(pulse, limits(0, 0), tmp_path, pytest.fail):
        pulse.enter("rollout", 2, 0)
        os.utime(tmp_path / "heartbeat.json", (0, 0))
        time.sleep(1.2)
    assert (tmp_path / "heartbeat.json").stat().st_mtime > 0


def test_a_phase_without_an_end_is_interrupted_where_it_stands(tmp_path: Path) -> None:
    pulse = Pulse(tmp_path, 3)
    before = signal.getsignal(stalls.STALLED)

    def hang() -> None:
        with Watch(pulse, limits(0, 0.3), tmp_path, lambda line: None):
            pulse.enter("reward", 1, 0)
            time.sleep(60)

    with pytest.raises(Stalled, match=r"phase reward after step 1 did not end within .*=0\.3"):
        hang()
    assert signal.getsignal(stalls.STALLED) is before


def test_one_that_holds_the_interpreter_lock_is_ended_with_its_stack(tmp_path: Path) -> None:
    script = f"""
import re
from pathlib import Path
from mssr_rl.config import FaultConfig
from mssr_rl.run import stalls
from mssr_rl.run.pulse import Pulse
stalls.GRACE = 0.5
stalls.signal.pthread_kill = lambda *_: None  # as if the main thread were deaf
folder = Path({str(tmp_path)!r})
pulse = Pulse(folder, 3)
with stalls.Watch(pulse, FaultConfig(stall_seconds=0, stop_seconds=0.3), folder, print):
    pulse.enter("reward", 1, 0)
    while True:
        pass
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert done.returncode == 1
    assert "<string>" in (tmp_path / "stacks.txt").read_text()
