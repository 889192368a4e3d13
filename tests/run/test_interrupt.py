"""The first signal is noted, the second obeyed by the kernel, and the handlers are put back."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mssr_rl.run import interrupt as interrupts
from mssr_rl.run.interrupt import REPEATED, SIGNALS, UNBEGUN, Interrupt, Interrupted

ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2]
DEAF = (
    "import resource, signal, time; from mssr_rl.run import interrupt\n"
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    "{before}\n"
    "with interrupt.Interrupt() as asked:\n"
    "    print('ready', flush=True)\n"
    "    while True:\n"
    "        time.sleep(0.01)\n"
)


@pytest.fixture(autouse=True)
def _hung_up_as_usual() -> Iterator[None]:
    """SIGHUP as a terminal gives it: `nohup pytest` ignores it, and then a run ignores it too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@contextmanager
def deaf(before: str = "") -> Iterator["subprocess.Popen[str]"]:
    """A process that never looks whether it was asked to end."""
    command = [sys.executable, "-c", DEAF.format(before=before)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def first(process: "subprocess.Popen[str]", signum: signal.Signals) -> str:
    """Send it, and wait for the line that it was noted."""
    process.send_signal(signum)
    assert process.stderr is not None
    assert process.stderr.readline() == "\n"
    return process.stderr.readline()


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_is_raised_at_the_next_check_only(signum: signal.Signals) -> None:
    with Interrupt() as interrupt:
        interrupt.check()
        os.kill(os.getpid(), signum)
        with pytest.raises(Interrupted, match=f"^ended by {signum.name}$") as caught:
            interrupt.check()
    assert caught.value.signum == signum


@pytest.mark.parametrize("signum", SIGNALS)
def test_before_there_is_anything_to_save_it_is_raised_at_once(signum: signal.Signals) -> None:
    def begin() -> None:
        with Interrupt(UNBEGUN):
            os.kill(os.getpid(), signum)
            pytest.fail("it was to be raised where it came")

    with pytest.raises(Interrupted, match=f"ended by {signum.name}; nothing was started, and the"):
        begin()
    with Interrupt(UNBEGUN) as interrupt:
        interrupt.hold()
        os.kill(os.getpid(), signum)
        with pytest.raises(Interrupted, match=f"ended by {signum.name}$"):
            interrupt.check()


def test_a_library_that_sets_handlers_of_its_own_does_not_keep_them() -> None:
    with Interrupt(UNBEGUN) as interrupt:
        signal.signal(signal.SIGTERM, lambda *_: pytest.fail("Ray's"))
        interrupt.hold()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.signum == signal.SIGTERM


def test_exit_codes_are_those_of_the_contract_and_else_as_shells_have_them() -> None:
    codes = {signum.name: Interrupted("", signum).exit_code for signum in SIGNALS}
    asked = {"SIGINT": 130, "SIGTERM": 0, "SIGHUP": 129, "SIGQUIT": 131}
    assert codes == {**asked, "SIGUSR1": 138, "SIGUSR2": 140, "SIGXCPU": 152}


def test_the_handlers_from_before_are_put_back() -> None:
    before = [signal.getsignal(signum) for signum in SIGNALS]
    with Interrupt():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(signum) for signum in SIGNALS] == before


def test_what_nobody_can_read_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> int:
        raise OSError("the terminal is gone")

    with Interrupt() as interrupt:
        monkeypatch.setattr(os, "write", gone)
        os.kill(os.getpid(), signal.SIGHUP)
        assert interrupt.signum == signal.SIGHUP


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_leaves_at_once(second: signal.Signals) -> None:
    with deaf() as process:
        assert "a second one leaves at once" in first(process, signal.SIGTERM)
        assert process.poll() is None
        process.send_signal(second)
        assert process.wait(timeout=60) == -second


@pytest.mark.slow
@pytest.mark.parametrize("signum", ENDS)
def test_the_same_signal_again_leaves_at_once(signum: signal.Signals) -> None:
    with deaf() as process:
        first(process, signum)
        process.send_signal(signum)
        assert process.wait(timeout=60) == -signum


@pytest.mark.slow
@pytest.mark.parametrize("signum", sorted(REPEATED))
def test_what_the_kernel_sends_again_by_itself_is_no_second_signal(signum: signal.Signals) -> None:
    with deaf() as process:
        assert "SIGTERM leaves at once" in first(process, signum)
        for _ in range(3):
            process.send_signal(signum)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == -signal.SIGTERM


@pytest.mark.slow
def test_a_run_of_a_comparison_may_be_told_twice() -> None:
    with deaf("interrupt.come_twice()") as process:
        first(process, signal.SIGUSR1)
        process.send_signal(signal.SIGUSR1)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == -signal.SIGTERM


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            interrupt.check()
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupt.signum == signal.SIGUSR1
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert not interrupts._come_twice
    finally:
        signal.signal(signal.SIGHUP, before)
