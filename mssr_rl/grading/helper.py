"""The helper process that compares answers by algebra; it forks graders that can be killed.

    parent  <--pipe-->  template (this module's `serve`)  <--pipes-->  grader (a fork of it)

`workers` starts the template. The template has imported everything that a grader needs, but neither
torch nor Ray, so a fork takes milliseconds. The grader gets one answer at a time. If an answer
takes longer than `SECONDS`, the grader is killed and replaced. A grader has limited memory, and is
replaced after `RENEWED_AFTER` answers. It ends when its template ends. The template ends when its
parent closes the pipe.
"""

import ctypes
import gc
import os
import resource
import signal
import sys
from typing import Any, NamedTuple

from mssr_rl.grading import frames
from mssr_rl.grading.algebra import symbolic
from mssr_rl.grading.algebra.compare import equivalent
from mssr_rl.grading.answers import read_off_or
from mssr_rl.grading.judge import decide
from mssr_rl.grading.quantities import OverLimit

SECONDS = 0.8  # limit for one answer
MEMORY = 2**30  # bytes of address space
RENEWED_AFTER = 5000  # answers, so that no state can grow in a grader
RECURSION = 3000
_PR_SET_PDEATHSIG = 1


class Grader(NamedTuple):
    """The process id of a forked grader, and the pipes to it."""

    pid: int
    asks: int
    answers: int


def serve() -> None:
    """Compare the answers from standard input until it is closed, and write replies to stdout."""
    symbolic.warm()
    equivalent(r"\sqrt{2}\sin 2x", r"2^{3/2}\cos x\sin x")  # fills caches that the forks inherit
    gc.collect()
    gc.freeze()  # otherwise garbage collection in a grader would copy all of sympy's memory pages
    served, grader = 0, _fork()
    frames.send(1, "ready")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # from here on nobody reads standard error
    while True:
        try:
            job = frames.receive(0)
        except EOFError:
            _kill(grader)
            return
        reply = _ask(grader, job)
        served += 1
        frames.send(1, reply)  # before any new fork, whose time is not part of this answer
        if reply in ("timeout", "error") or served % RENEWED_AFTER == 0:
            _kill(grader)
            grader = _fork()


def _ask(grader: Grader, job: Any) -> str:
    try:
        frames.send(grader.asks, job)
        return str(frames.receive(grader.answers, SECONDS))
    except TimeoutError:
        return "timeout"
    except (EOFError, BrokenPipeError):
        return "error"  # the grader died on this answer


def _fork() -> Grader:
    (asked, asks), (answers, answered) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(asks)
        os.close(answers)
        try:
            _serve(asked, answered)
        finally:
            # Not `sys.exit`: a fork must not run what its template does at its end.
            os._exit(1)
    # With only the grader holding these ends, its death shows as the end of the pipe.
    os.close(asked)
    os.close(answered)
    return Grader(pid, asks, answers)


def _serve(asked: int, answered: int) -> None:
    # The kernel kills the grader when its template dies, however it dies.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.setrecursionlimit(RECURSION)
    same = read_off_or(equivalent)
    while True:
        text, answer, choices = frames.receive(asked)
        try:
            reply = "correct" if decide(text, answer, choices, same) else "wrong"
        except (OverLimit, MemoryError, RecursionError, OverflowError):
            reply = "timeout"
        except Exception as error:  # noqa: BLE001  a bug of ours: report it, and fail only this answer
            reply = f"error {type(error).__name__}: {error}"
        frames.send(answered, reply)


def _kill(grader: Grader) -> None:
    os.kill(grader.pid, signal.SIGKILL)
    os.waitpid(grader.pid, 0)
    os.close(grader.asks)
    os.close(grader.answers)
