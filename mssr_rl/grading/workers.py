"""The processes in which `verify` compares answers by algebra. They can be killed.

There is one helper process (see `helper`) for each thread that grades at the same time, at most
`MOST`. Helpers start when they are first needed, ignore signals, and end with this process. The
verdict is the same from the main thread, a worker thread, an asyncio task or an actor, because no
signals are used here. A process that was forked from this one starts its own helpers.
"""

import atexit
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

from mssr_rl.errors import RunFailed
from mssr_rl.grading import frames

Job = tuple[str, str, list[str] | None]  # the text in the box, the gold answer, the options
Reply = Literal["correct", "wrong", "timeout", "error"]

log = logging.getLogger(__name__)

MOST = 4
PATIENCE = 0.93  # seconds for a reply; the helper kills its grader earlier (`helper.SECONDS`)
DEAF_TO = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTERM,
)
START = 30.0  # seconds that a start may take on a busy machine; not charged to any response


class Helper:
    """A connection to one template process of `helper`."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _program()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C goes to the run, not to its helpers
        )
        assert self.process.stdin
        assert self.process.stdout
        self.asks, self.answers = self.process.stdin.fileno(), self.process.stdout.fileno()
        try:
            frames.receive(self.answers, START)
        except (EOFError, TimeoutError) as error:
            self.end()
            raise RunFailed(f"the grading process does not start: {self._complaint()}") from error

    def ask(self, job: Job) -> Reply:
        """Return the helper's verdict on one answer.

        Raises:
            TimeoutError: no reply came within `PATIENCE` seconds.
            EOFError, BrokenPipeError: the helper died.
        """
        frames.send(self.asks, job)
        reply = str(frames.receive(self.answers, PATIENCE))
        word, _, complaint = reply.partition(" ")
        if complaint:
            log.warning("grading %.80r for %.80r: %s", job[0], job[1], complaint)
        return cast(Reply, word)

    def end(self) -> None:
        """Kill the template and its grader, and wait until they have ended."""
        if self.process.poll() is None:
            # The group is theirs alone (`start_new_session`), and a grader that is stuck goes with
            # it.
            os.killpg(self.process.pid, 9)
        self.process.wait()

    def _complaint(self) -> str:
        assert self.process.stderr
        lines = self.process.stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it says nothing"


class Pool:
    """The helpers that are not in use. A thread takes one for each answer."""

    def __init__(self) -> None:
        self.turn = threading.BoundedSemaphore(MOST)
        self.free: list[Helper] = []

    def ask(self, job: Job) -> Reply:
        """Return the verdict on one answer; "timeout" or "error" if the helper gave none.

        That helper is then killed.
        """
        with self.turn:
            helper = self._take()
            try:
                reply = helper.ask(job)
            # The helper must go: its late reply would be taken for the reply to the next question.
            except TimeoutError:
                helper.end()
                return "timeout"
            except (EOFError, BrokenPipeError):
                helper.end()
                return "error"
            self.free.append(helper)
            return reply

    def warm(self) -> None:
        """Start one helper now, if none is free."""
        with self.turn:
            self.free.append(self._take())

    def _take(self) -> Helper:
        try:
            return self.free.pop()
        except IndexError:
            return Helper()

    def end(self) -> None:
        """End all helpers that are not in use."""
        while self.free:
            self.free.pop().end()


def ask(text: str, answer: str, choices: Sequence[str] | None) -> Reply:
    """Return the verdict of a helper process on whether `text` gives the gold `answer`."""
    return _pool.ask((text, answer, None if choices is None else list(choices)))


def warm() -> None:
    """Start one helper now, so that no response waits for its start."""
    _pool.warm()


def _program() -> str:
    # Ignore signals first: a batch system sends them to every process of a job, and a run that is
    # saving its state may still grade. A helper ends when its parent does.
    deaf = f"import signal; [signal.signal(n, signal.SIG_IGN) for n in {[*map(int, DEAF_TO)]}]"
    paths = [str(Path(__file__).parents[2]), *sys.path]
    grade = f"sys.path[:] = {paths!r}; from mssr_rl.grading.helper import serve; serve()"
    return f"{deaf}; import sys; {grade}"


def _forget() -> None:
    """Create an empty pool in a forked process, which must not share its parent's pipes."""
    global _pool  # noqa: PLW0603
    _pool = Pool()


_pool = Pool()
atexit.register(lambda: _pool.end())  # noqa: PLW0108  `_pool` may change
os.register_at_fork(after_in_child=_forget)
