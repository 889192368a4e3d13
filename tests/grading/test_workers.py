"""The killable processes: one verdict from everywhere, hangs that end, nothing left behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from mssr_rl.grading import workers
from mssr_rl.grading.verify import verify

ROOT = Path(__file__).parents[2]
NEED_ALGEBRA = [
    (r"(x+1)^2", "x^2+2x+1", True), (r"\sqrt{8}", r"2\sqrt{2}", True), ("2y", "2x", False),
    (r"\sin 30^\circ", "1/2", True), (r"[1,2]\cup[2,3]", "[1,3]", True), ("x>3", r"x\ge3", False),
]  # fmt: skip
HANGS = (r"x!+10^{-4900}", "x!")  # ten thousand digits of the gamma function


def right(answer: str, gold: str) -> bool:
    return verify(f"<think></think>\\boxed{{{answer}}}", gold).correct


def found() -> list[bool]:
    """Fresh verdicts: nothing remembered."""
    from mssr_rl.grading import verify as module

    module._remembered.clear()
    return [right(answer, gold) for answer, gold, _ in NEED_ALGEBRA]


WANTED = [wanted for _, _, wanted in NEED_ALGEBRA]


def test_the_verdict_is_the_same_from_main_thread_worker_threads_and_asyncio() -> None:
    assert found() == WANTED
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: found(), range(8))) == [WANTED] * 8

    async def both() -> list[list[bool]]:
        async def one() -> list[bool]:
            return found()

        return list(await asyncio.gather(one(), asyncio.to_thread(found)))

    assert asyncio.run(both()) == [WANTED, WANTED]


@pytest.mark.cluster
def test_every_golden_verdict_is_the_same_in_a_thread_and_in_a_ray_actor() -> None:
    golden = Path(__file__).parent / "golden"
    texts = [
        (golden / f"{name}.jsonl").read_text(encoding="utf-8") for name in ("answers", "rules")
    ]
    rows = [json.loads(line) for text in texts for line in text.splitlines()]
    cases = [(a, row["gold"]) for row in rows for a in (*row["pays"], *row["does_not"])]
    here = all_verdicts(cases)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(all_verdicts, cases).result() == here

    async def as_a_task() -> list[bool]:
        return all_verdicts(cases)

    assert asyncio.run(as_a_task()) == here
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    begun = not ray.is_initialized()  # the engine's tests share one session
    if begun:
        ray.init(address="local", num_cpus=1, include_dashboard=False)
    try:
        there = ray.remote(num_cpus=0)(all_verdicts).remote(cases)
        assert ray.get(there, timeout=300) == here
    finally:
        if begun:
            ray.shutdown()


def all_verdicts(cases: list[tuple[str, str]]) -> list[bool]:
    from mssr_rl.grading import verify as module

    module._remembered.clear()
    return [right(answer, gold) for answer, gold in cases]


def test_a_forked_process_gets_helpers_of_its_own() -> None:
    assert found() == WANTED
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if found() == WANTED else 1
            workers._pool.end()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert found() == WANTED


def test_an_answer_that_hangs_is_killed_within_a_second_and_the_next_is_graded() -> None:
    workers.warm()
    started = time.monotonic()
    verdict = verify(f"<think></think>\\boxed{{{HANGS[0]}}}", HANGS[1])
    assert verdict.reason == "timeout"
    assert time.monotonic() - started < 1
    assert right(r"\sqrt{8}", r"2\sqrt{2}")


def test_threads_that_hang_do_not_hold_up_the_others() -> None:
    workers.warm()
    hanging = [threading.Thread(target=right, args=HANGS) for _ in range(2)]
    for thread in hanging:
        thread.start()
    assert right(r"\sqrt{18}", r"3\sqrt{2}")
    for thread in hanging:
        thread.join()


def test_a_helper_that_dies_is_an_error_once_and_is_replaced() -> None:
    pool = workers.Pool()
    assert pool.ask((r"\sqrt{8}", r"2\sqrt{2}", None)) == "correct"
    os.killpg(pool.free[0].process.pid, signal.SIGKILL)
    assert pool.ask((r"\sqrt{8}", r"2\sqrt{2}", None)) == "error"
    assert pool.ask((r"\sqrt{8}", r"2\sqrt{2}", None)) == "correct"
    pool.end()


def test_a_signal_to_every_process_of_a_job_costs_no_answer() -> None:
    """As a batch system sends it; the run saves and ends, and may be grading meanwhile."""
    assert found() == WANTED
    helper = workers._pool.free[-1].process.pid
    everybody = [helper, *(child.pid for child in psutil.Process(helper).children())]
    assert len(everybody) == 2
    for signum in workers.DEAF_TO:
        for pid in everybody:
            os.kill(pid, signum)
    assert found() == WANTED
    assert workers._pool.free[-1].process.pid == helper


def test_a_grader_that_is_killed_is_replaced_by_its_template() -> None:
    pool = workers.Pool()
    assert pool.ask(("2+x", "x+2", None)) == "correct"
    template = psutil.Process(pool.free[0].process.pid)
    (grader,) = template.children()
    grader.kill()
    assert pool.ask(("2+x", "x+2", None)) == "error"
    assert pool.ask(("2+x", "x+2", None)) == "correct"
    pool.end()


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)", "sys.exit(3)"], ids=str)
def test_no_process_is_left_behind_however_the_parent_ends(end: str) -> None:
    script = (
        "import os, sys; from mssr_rl.grading import workers; from mssr_rl.grading.workers import"
        " *; workers.warm(); print(workers._pool.free[0].process.pid, flush=True);" + end
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    group = int(done.stdout)
    end_at = time.monotonic() + 5
    while members(group) and time.monotonic() < end_at:
        time.sleep(0.02)
    assert members(group) == []


def members(group: int) -> list[int]:
    """The processes of a group that still run."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getpgid(process.pid) == group and process.info["status"] != "zombie":
                found.append(process.pid)
        except ProcessLookupError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        (
            r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^{999999999}",
            r"\begin{pmatrix}2&4\\6&8\end{pmatrix}",
        ),
        (r"\prod_{k=1}^{\infty} (1-\frac{\sin k}{k^2})", "4"),
    ],
)
def test_what_sympy_does_not_finish_is_killed_in_time_and_the_next_answer_is_graded(
    answer: str, gold: str
) -> None:
    workers.warm()
    times = []
    for _ in range(3):  # the best of three, for a busy machine may stall
        started = time.perf_counter()
        verdict = verify(f"<think></think>\\boxed{{{answer}}}", gold)
        times.append(time.perf_counter() - started)
        assert verdict.reason == "timeout"
    assert min(times) < 1
    assert right(r"2\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}2&4\\6&8\end{pmatrix}")
