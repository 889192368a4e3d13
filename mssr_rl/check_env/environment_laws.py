"""Rules that every environment must keep; each yields findings if it is broken.

An exception in the environment is a finding too, because a verifier that raises would end a run
after hours of training.
"""

import concurrent.futures
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from mssr_rl.check_env import probes
from mssr_rl.check_env.law_trial import Violation, working_on
from mssr_rl.check_env.probes import Probe
from mssr_rl.envs import ProblemEnv
from mssr_rl.errors import UserError

SLOW = 1.0  # seconds; grading one response must not take longer
SAMPLE = 24  # number of rows that are tried


def rows_of(env: ProblemEnv) -> Sequence[int]:
    """Return the rows to check, spread over the whole data set."""
    step = max(1, len(env.problems) // SAMPLE)
    return range(len(env.problems))[::step][:SAMPLE]


def gold_pays(env: ProblemEnv) -> Iterator[Violation]:
    """Check that the gold answer gets the reward 1 in all its spellings."""
    for row in rows_of(env):
        problem = env.problems[row]
        for probe in probes.spellings(problem, env.rules.respond):
            paid = _reward(env, row, probe)
            if paid != 1.0:
                yield Violation("gold pays", f"{problem.key}: {probe.name} pays {_said(paid)}")


def hacks_do_not_pay(env: ProblemEnv) -> Iterator[Violation]:
    """Check that known hacks get no reward, and that grading one takes at most a second."""
    for count, row in enumerate(rows_of(env)):
        problem = env.problems[row]
        tried = probes.hacks(problem, _others(env, row), env.rules.respond)
        for probe in tried:
            if count >= 3 and len(probe.response) > 10_000:
                continue  # the very long responses are the same for every row
            paid, seconds = _timed_reward(env, row, probe)
            if not isinstance(paid, float) or paid > 0:
                yield Violation(
                    "hacks do not pay", f"{problem.key}: {probe.name} pays {_said(paid)}"
                )
            if seconds > SLOW:
                yield Violation(
                    "bounded time", f"{problem.key}: {probe.name} takes {seconds:.1f} s"
                )


def _timed_reward(env: ProblemEnv, row: int, probe: Probe) -> tuple[float | str, float]:
    """Return the reward of a probe, and the shortest time of up to three tries [s].

    On a busy machine any response may be slow once, especially the first one, which starts a
    worker. The second and the third try add blanks, so that no cached verdict is returned.
    """
    paid, shortest = _timed(env, row, probe)
    for blanks in (" ", "  "):
        if shortest > SLOW:
            again = probe._replace(response=probe.response + blanks)
            shortest = min(shortest, _timed(env, row, again)[1])
    return paid, shortest


def _timed(env: ProblemEnv, row: int, probe: Probe) -> tuple[float | str, float]:
    started = time.monotonic()
    paid = _reward(env, row, probe)
    return paid, time.monotonic() - started


def _others(env: ProblemEnv, row: int) -> list[str]:
    """Return wrong answers for a row: those of other rows, and for an integer also the next one."""
    answers = dict.fromkeys(problem.answer for problem in env.problems)
    answers.pop(env.problems[row].answer, None)
    right = env.problems[row].choices or ()
    wrong = [answer for answer in list(answers)[:40] if answer not in right]
    if env.problems[row].answer.lstrip("-").isdecimal():
        wrong.insert(0, str(int(env.problems[row].answer) + 1))
    return wrong


def is_deterministic(env: ProblemEnv) -> Iterator[Violation]:
    """Check that a batch gets the same rewards again, also in another order."""
    rows, responses = _batch(env)
    first, second = _rewards(env, rows, responses), _rewards(env, rows, responses)
    turned = _rewards(env, rows[::-1], responses[::-1])[::-1]
    if not first == second == turned:
        yield Violation("deterministic", "the same responses earn different rewards")


def is_process_safe(env: ProblemEnv) -> Iterator[Violation]:
    """Check that a worker thread and another process give the same rewards."""
    rows, responses = _batch(env)
    here = _rewards(env, rows, responses)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        if pool.submit(_rewards, env, rows, responses).result() != here:
            yield Violation("process-safe", "a worker thread grades otherwise than the main thread")
    there = _in_another_process(lambda: _rewards(env, rows, responses))
    if there != here:
        yield Violation("process-safe", "another process grades otherwise, or fails")


def _in_another_process(work: Callable[[], list[object]]) -> list[object] | None:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=lambda: theirs.send(work()))
    child.start()
    theirs.close()
    try:
        rewards: list[object] | None = ours.recv() if ours.poll(60) else None
    except EOFError:
        rewards = None
    child.kill()
    child.join()
    return rewards


def is_a_gymnasium_environment(env: ProblemEnv) -> Iterator[Violation]:
    """Run Gymnasium's `check_env`, and two checks that it lacks.

    Real rows must lie in the observation space, and a second step must be refused.
    """
    from gymnasium.error import ResetNeeded
    from gymnasium.utils.env_checker import check_env

    working_on("Gymnasium's check_env()")
    try:
        check_env(env, skip_render_check=True)
    except Exception as error:  # noqa: BLE001  the checker's own complaints, of any type
        yield Violation("Gymnasium", f"check_env: {type(error).__name__}: {error}")
    for row in rows_of(env):
        working_on(f"{env.problems[row].key}: reset()")
        observation, _ = env.reset(options={"index": row})
        if observation not in env.observation_space:
            yield Violation("Gymnasium", f"{env.problems[row].key} lies outside of the spaces")
    env.step(env.rules.respond("1"))
    try:
        env.step(env.rules.respond("1"))
        yield Violation("Gymnasium", "a second step after the end is not refused")
    except ResetNeeded:
        return


def keys_are_unique(env: ProblemEnv) -> Iterator[Violation]:
    """Check that no two rows have the same key."""
    counts = Counter(problem.key for problem in env.problems)
    for key, count in counts.most_common(5):
        if count > 1:
            yield Violation("unique keys", f"{count} rows have the key {key}")


LAWS = (
    gold_pays,
    hacks_do_not_pay,
    is_deterministic,
    is_process_safe,
    is_a_gymnasium_environment,
    keys_are_unique,
)


def items_per_second(env: ProblemEnv, seconds: float = 1.0) -> float:
    """Return how many gold answers the environment grades per second, one after the other."""
    rows = rows_of(env)
    responses = [env.rules.respond(env.problems[row].answer) for row in rows]
    env.grade(rows, responses)
    started, graded = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        env.grade(rows, responses)
        graded += len(rows)
    return graded / (time.perf_counter() - started)


def _batch(env: ProblemEnv) -> tuple[list[int], list[str]]:
    rows, responses = [], []
    for row in rows_of(env):
        for answer in (env.problems[row].answer, "1", "x + 1", ""):
            rows.append(row)
            responses.append(env.rules.respond(answer))
    return rows, responses


def _rewards(env: ProblemEnv, rows: list[int], responses: list[str]) -> list[object]:
    return [_reward(env, row, Probe("", text)) for row, text in zip(rows, responses, strict=True)]


def _reward(env: ProblemEnv, row: int, probe: Probe) -> float | str:
    """Return the reward of a probe; if the environment raises, the exception as text."""
    working_on(f"{env.problems[row].key}: {probe.name or repr(probe.response[:60])}")
    try:
        return float(env.grade([row], [probe.response])[0].reward)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001  the environment under test may raise anything
        return f"{type(error).__name__}: {error}"


def _said(paid: float | str) -> str:
    return paid if isinstance(paid, str) else f"{paid:g}"
