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
from mssr_rl.run.interrupt import Interrupt
from mssr_rl.run.pulse import Beat, Pulse
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


@pytest.mark.parametrize("signum", [signal.SIGUSR1, stalls.STALLED])
def test_a_signal_from_elsewhere_is_not_taken_for_a_stall(
    tmp_path: Path, signum: signal.Signals
) -> None:
    pulse = Pulse(tmp_path, 3)
    with Interrupt() as interrupt, Watch(pulse, limits(0, 0), tmp_path, pytest.fail):
        pulse.enter("reward", 1, 0)
        os.kill(os.getpid(), signum)
        time.sleep(0.3)
    assert interrupt.signum == (signum if signum == signal.SIGUSR1 else None)


def test_time_asleep_is_not_counted(tmp_path: Path) -> None:
    script = f"""
import time
from pathlib import Path
from mssr_rl.config import FaultConfig
from mssr_rl.run.pulse import Pulse
from mssr_rl.run.stalls import Watch
folder = Path({str(tmp_path)!r})
pulse = Pulse(folder, 3)
with Watch(pulse, FaultConfig(stall_seconds=1.5, stop_seconds=2.0), folder, print):
    pulse.enter("rollout", 1, 0)
    print("begun", flush=True)
    time.sleep(0.5)
    pulse.enter("reward", 1, 0)
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(3.0)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.read() == ""
        assert process.wait() == 0


def test_work_that_keeps_the_watch_waiting_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"monotonic": 0.0, "process_time": 0.0}
    monkeypatch.setattr(time, "monotonic", lambda: now["monotonic"])
    monkeypatch.setattr(time, "process_time", lambda: now["process_time"])
    awake, beat = stalls.Awake(), Beat("update", 1, 0.0)
    now |= {"monotonic": 30.0, "process_time": 25.0}
    assert awake.since(beat) == 30.0
    now |= {"monotonic": 3630.0, "process_time": 25.1}  # an hour in which nothing was done
    assert awake.since(beat) == pytest.approx(30.0 + stalls.TICK)
    later = Beat("rollout", 1, 3630.0)
    now |= {"monotonic": 3630.4}
    assert awake.since(later) == pytest.approx(0.4)


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
