"""The first signal is noted, the second obeyed by the kernel, and the handlers are put back."""

import os
import signal
import subprocess
import sys

import pytest

from mssr_rl.run.interrupt import Interrupt, Interrupted


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_raised_at_the_next_check_only(signum: signal.Signals) -> None:
    with Interrupt() as interrupt:
        interrupt.check()
        os.kill(os.getpid(), signum)
        with pytest.raises(Interrupted, match=f"ended by {signum.name}") as caught:
            interrupt.check()
    assert caught.value.signum == signum


def test_the_handlers_from_before_are_put_back() -> None:
    before = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    with Interrupt():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_leaves_at_once(second: signal.Signals) -> None:
    deaf = (
        "import time; from mssr_rl.run.interrupt import Interrupt\n"
        "with Interrupt():\n"
        "    print('ready', flush=True)\n"
        "    while True:\n"
        "        time.sleep(0.01)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", deaf], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline() == "\n"
    assert "a second one leaves at once" in process.stderr.readline()
    assert process.poll() is None
    process.send_signal(second)
    assert process.wait(timeout=60) == -second
    process.stdout.close()
    process.stderr.close()
