"""The killable processes that `verify` asks where reading two answers does not settle it.

One helper process (see `helper`) for each thread that grades at the same time, at most `MOST`; they
start when first needed, take no signals, and end with this process. The verdict is the same from
the main thread, a worker thread, an asyncio task or an actor: nothing here uses signals, and a
process that was forked from this one starts helpers of its own.
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
PATIENCE = 0.93  # seconds for a reply; the helper kills its grader well before (`helper.SECONDS`)
DEAF_TO = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTERM,
)
START = 30.0  # seconds that a start may take on a busy machine; it belongs to no response


class Helper:
    """One template process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _program()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the run's business
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
        """The helper's verdict on one answer."""
        frames.send(self.asks, job)
        reply = str(frames.receive(self.answers, PATIENCE))
        word, _, complaint = reply.partition(" ")
        if complaint:
            log.warning("grading %.80r for %.80r: %s", job[0], job[1], complaint)
        return cast(Reply, word)

    def end(self) -> None:
        """Kill the template and its grader, and reap."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
        self.process.wait()

    def _complaint(self) -> str:
        assert self.process.stderr
        lines = self.process.stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it says nothing"


class Pool:
    """Helpers that are free; a thread takes one for one question."""

    def __init__(self) -> None:
        self.turn = threading.BoundedSemaphore(MOST)
        self.free: list[Helper] = []

    def ask(self, job: Job) -> Reply:
        """The verdict; `error` if a process died on it."""
        with self.turn:
            helper = self._take()
            try:
                reply = helper.ask(job)
            except TimeoutError:
                helper.end()
                return "timeout"
            except (EOFError, BrokenPipeError):
                helper.end()
                return "error"
            self.free.append(helper)
            return reply

    def warm(self) -> None:
        """Have one helper ready."""
        with self.turn:
            self.free.append(self._take())

    def _take(self) -> Helper:
        try:
            return self.free.pop()
        except IndexError:
            return Helper()

    def end(self) -> None:
        """End every helper that is free."""
        while self.free:
            self.free.pop().end()


def ask(text: str, answer: str, choices: Sequence[str] | None) -> Reply:
    """Does `text` give `answer`, by algebra?"""
    return _pool.ask((text, answer, None if choices is None else list(choices)))


def warm() -> None:
    """Start one helper now, so that no response waits for it."""
    _pool.warm()


def _program() -> str:
    # First of all deaf: a batch system signals every process of a job, and a run that saves and
    # ends may still be grading. A helper ends when its parent does.
    deaf = f"import signal; [signal.signal(n, signal.SIG_IGN) for n in {[*map(int, DEAF_TO)]}]"
    paths = [str(Path(__file__).parents[2]), *sys.path]
    grade = f"sys.path[:] = {paths!r}; from mssr_rl.grading.helper import serve; serve()"
    return f"{deaf}; import sys; {grade}"


def _forget() -> None:
    """A forked process shares no pipe with the one it came from."""
    global _pool  # noqa: PLW0603
    _pool = Pool()


_pool = Pool()
atexit.register(lambda: _pool.end())  # noqa: PLW0108  the pool of that moment
os.register_at_fork(after_in_child=_forget)
