"""Plan, check, train and report a comparison: `python -m mssr_rl compare key=value ...`.

compare algo=grpo,mssr env=vision_r1 seeds=5           the verdict
compare algo=grpo,mssr env=vision_r1 seeds=5 --plan    what would be done, and how long it takes
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl.budget import allowance
from mssr_rl.comparison import looks, race
from mssr_rl.comparison.comparison_page import write
from mssr_rl.config import recorded
from mssr_rl.config.words import parse_words
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.outward import plain
from mssr_rl.report.text import duration
from mssr_rl.run import provenance, runlock
from mssr_rl.run.here import refuse_what_is_missing
from mssr_rl.run.interrupt import UNBEGUN, Interrupt, Interrupted
from mssr_rl.stats import racing, sequential
from mssr_rl.stats.verdict import Rule
from mssr_rl.sweep import fairness, folder, machine, nodes, process, time_trial
from mssr_rl.sweep.derived import deriver
from mssr_rl.sweep.fairness import Fairness
from mssr_rl.sweep.folder import Folder
from mssr_rl.sweep.matrix import Matrix, PlannedRun, spell_out
from mssr_rl.sweep.process import Launch
from mssr_rl.sweep.progress_board import Tally, board
from mssr_rl.sweep.runner import Crew, Share
from mssr_rl.sweep.settings import Settings
from mssr_rl.sweep.standing import FINISHED, look

# A collapsed run continues, so that every arm spends its whole budget and is scored at its end.
STAYS = {"stability.stop": "non_finite"}


class Task(NamedTuple):
    """A comparison that is checked and ready to start."""

    settings: Settings
    words: tuple[str, ...]
    folder: Folder
    matrix: Matrix
    fair: tuple[Fairness, ...]  # one per environment
    share: Share

    @property
    def launch(self) -> Launch:
        """The function that starts a run, on this machine or in the Ray cluster."""
        return nodes.launch if self.settings.ray else process.launch

    def accepting(self, launch: Launch) -> Launch:
        """Return a function that starts runs with `launch` and adds `accept=` to resumed runs."""
        accept = f"accept=[{','.join(self.settings.accept)}]"

        def start(words: Sequence[str], log: Path, threads: int) -> process.Process:
            more = [accept] if self.settings.accept and "resume=true" in words else []
            return launch([*words, *more], log, threads)

        return start


def compare_algorithms(arguments: Sequence[str]) -> str:
    """Run the comparison and return the verdicts; with `plan=true` only return the plan."""
    words = [word for word in arguments if not word.startswith("plan=")]
    return plan(words) if parse_words(Settings, arguments).plan else compare(words)


def compare(words: Sequence[str], launch: Launch | None = None) -> str:
    """Train the missing runs and write the report; return the verdicts and the path of the page.

    Raise `RunFailed` if runs failed; they do not count in the verdicts.
    """
    with Interrupt(UNBEGUN) as interrupt:
        task = prepare(words)
        task.folder.path.mkdir(parents=True, exist_ok=True)
        runlock.acquire(task.folder.path)
        try:
            if task.settings.ray:
                nodes.refuse_blind_nodes(task.folder.path)
            interrupt.hold()
            failed = _train(task, task.accepting(launch or task.launch), interrupt)
            _note(task, failed)
            written = write(task.folder.path)
        finally:
            runlock.release(task.folder.path)
    result = "\n".join([*written.sentences, f"report  {written.page}"])
    if failed:
        sys.stdout.write(f"{plain(result)}\n")
        listed = "; ".join(f"{run.name}: {why}" for run, why in failed.items())
        raise RunFailed(
            f"{len(failed)} of {len(task.matrix.runs)} runs failed and are not in the verdict "
            f"({listed}); their output is in {task.folder.path / 'logs'}, and the same command "
            "tries them again"
        )
    return result


def _note(task: Task, failed: Mapping[PlannedRun, str]) -> None:
    """Record in compare.json the runs that failed, so that the verdicts do not wait for them."""
    given_up = sorted(run.name for run in failed)
    task.folder.record({**task.folder.recorded(), "given_up": given_up})


def prepare(words: Sequence[str]) -> Task:
    """Make all checks that are possible before a process starts; return the comparison.

    Raise `UserError` if the comparison cannot be run with these arguments.
    """
    settings = parse_words(Settings, words)
    recorded.check_accepted(settings.accept)
    rest = dict(settings.runs)
    where = folder.place(settings, rest)
    known = where.recorded().get("threads")  # resumed runs must use the same number of threads
    few = spell_out(rest, settings, where.runs)
    machines = nodes.join(settings.ray) if settings.ray else machine.here()
    options = {
        **STAYS,
        **rest,
        "engine.threads": rest.get("engine.threads")
        or known
        or machine.threads(settings, len(few.runs), machines),
    }
    matrix = spell_out(options, settings, where.runs)
    labels = [arm.label for arm in matrix.arms]
    _refuse_one_arm(settings, labels)
    if not settings.ray:  # the machines of a Ray cluster have their own models and devices
        for planned in {run.arm.label: run for run in matrix.runs}.values():
            refuse_what_is_missing(planned.config)
    if settings.baseline is not None and settings.baseline not in labels:
        raise UserError(
            f"baseline={settings.baseline} is not an arm; choose from {', '.join(labels)}"
        )
    _check_race(settings, matrix)
    fair = check_fairness(matrix, settings)
    folder.refuse_other_runs(where, matrix, settings.accept)
    share = machine.share(settings, matrix.runs, machines)
    return Task(settings, tuple(words), where, matrix, fair, share)


def _refuse_one_arm(settings: Settings, labels: Sequence[str]) -> None:
    if len(labels) < 2:
        raise UserError(
            f"compare needs at least two arms, and {labels[0]} is the only one: which should it be "
            f"compared with? Name another (algo={settings.runs.get('algo', labels[0])},grpo), give "
            "a key several values (train.lr=1e-4,2e-4), or add ablate=all; train trains one alone"
        )


def _check_race(settings: Settings, matrix: Matrix) -> None:
    if settings.race:
        if settings.baseline is None:
            raise UserError(
                "race=true needs baseline=ARM, the arm that the others run against; choose from "
                + ", ".join(arm.label for arm in matrix.arms)
            )
        racing.check_race(len(matrix.arms), len(matrix.seeds))


def check_fairness(matrix: Matrix, settings: Settings) -> tuple[Fairness, ...]:
    """Return the result of the fairness check for each environment.

    Raise `UserError` if a difference between arms is not accounted for, unless `fair=report`. Also
    raise it if arms would be scored on different problems.
    """
    derive = deriver()
    outcomes = []
    for env in matrix.envs:
        configs = {r.arm.label: r.config for r in matrix.runs if r.env == env}
        fair = fairness.examine(configs, derive, settings.varies)
        fairness.refuse_other_questions(fair)
        if fair.confounders and settings.fair == "refuse":
            raise fairness.refusal(fair)
        outcomes.append(fair)
    return tuple(outcomes)


def plan(words: Sequence[str], launch: Launch | None = None) -> str:
    """Return the plan as text, with the time of the comparison, which a short trial measures."""
    with Interrupt(UNBEGUN):  # a signal must end the trials and remove their folder
        return _plan(prepare(words), launch)


def _plan(task: Task, launch: Launch | None) -> str:
    runs, standings = task.matrix.runs, [look(task.folder.of(run)) for run in task.matrix.runs]
    out = race.ruled_out_in(task.folder.path)
    left = [r for r, s in zip(runs, standings, strict=True) if s.state not in FINISHED]
    missing = [run for run in left if (run.arm.label, run.seed) not in out]
    lines = [*opening(task), *_differences(task), f"finished    {len(runs) - len(left)} runs"]
    if missing:
        sys.stderr.write("measuring the speed: a short trial of every arm\n")
        estimate = time_trial.measure(missing, task.share, launch or task.launch)
        lines += [f"one run     {arm}: {duration(s)}" for arm, s in estimate.by_arm.items()]
        lines += [
            f"in all      about {duration(estimate.total)}, measured just now on this machine"
        ]
    return "\n".join([*lines, "nothing was started but the trial"])


def opening(task: Task) -> list[str]:
    """Return the lines that describe the comparison before it starts."""
    matrix, share, config = task.matrix, task.share, task.matrix.runs[0].config
    per_step, margin = config.train.rollouts_per_step, Rule(margin=task.settings.margin).size
    bought = allowance(config.budget.rollouts, per_step)
    seeds = f"{matrix.seeds[0]} to {matrix.seeds[-1]}" if len(matrix.seeds) > 1 else matrix.seeds[0]
    size = f"{bought.steps} steps of {per_step}, recipe {config.recipe}, model {config.model.path}"
    lines = [
        f"arms        {', '.join(arm.label for arm in matrix.arms)}",
        f"on          {', '.join(matrix.envs)}; seeds {seeds}: {len(matrix.runs)} runs",
        f"each        {config.budget.rollouts:,} rollouts, {size}",
        f"at once     {share.jobs} runs, {share.threads} thread{'s' * (share.threads > 1)} each",
        f"verdict     by seed on the test split; differences below {margin} do not matter",
        f"looks       {_looks(task)}",
        f"results     {task.folder.path}",
    ]
    if task.settings.race:
        lines.append(
            f"race        against {task.settings.baseline}; an arm that clearly loses gets no "
            f"further seeds, after {racing.earliest(len(matrix.arms))} seeds at the earliest"
        )
    if len(matrix.seeds) < 5:
        lines.append(
            f"caution     {len(matrix.seeds)} seed{'s' * (len(matrix.seeds) > 1)} per arm can only "
            "show large differences"
        )
    return lines


def _looks(task: Task) -> str:
    """Return in words at which numbers of seeds verdicts are given.

    If the seeds of this comparison do not reach a look, the text says so.
    """
    planned, seeds = _planned(task), len(task.matrix.seeds)
    at = [one.seeds for one in islice(sequential.looks(planned, Rule().alpha), 3)]
    after = sequential.following(seeds, planned, Rule().alpha).seeds
    times = f"verdicts are given at {at[0]} seeds, then at {at[1]}, {at[2]} and so on"
    new = sequential.following(seeds - 1, planned, Rule().alpha).seeds == seeds
    return times if new else f"{times}; {seeds} seeds give no verdict, ask for {after}"


def _differences(task: Task) -> list[str]:
    return [
        f"differences on {fair.env}\n{fairness.table(fair.arms, fair.different)}"
        for fair in task.fair
        if fair.different
    ]


# ---- training ----


def _train(task: Task, launch: Launch, interrupt: Interrupt) -> Mapping[Any, str]:
    standings = {run: look(task.folder.of(run)) for run in task.matrix.runs}
    finished = {run: s for run, s in standings.items() if s.state in FINISHED}
    with closing(board(Tally(task.matrix, finished))) as shown:
        for line in opening(task):
            shown.say(line)
        for confounded in (fair for fair in task.fair if fair.confounders):
            shown.say(f"NOT FAIR on {confounded.env}, reported in red:")
            shown.say(fairness.table(confounded.arms, confounded.confounders))
        if finished:
            shown.say(f"kept      {len(finished)} finished runs")
        task.folder.record(facts(task))
        crew = Crew(task.folder, task.matrix, shown, launch)
        return _work(crew, task.share, interrupt)


def _work(crew: Crew, share: Share, interrupt: Interrupt) -> Mapping[Any, str]:
    try:
        crew.work(share, interrupt.check)
    except Interrupted as stop:
        raise Interrupted(f"{stop}; the same command continues from here", stop.signum) from None
    return crew.failed


def _planned(task: Task) -> int:
    """Return the planned number of seeds: the number in use when the first run finished.

    Seeds that are added later belong to later looks.
    """
    known, seeds = task.folder.recorded(), len(task.matrix.seeds)
    begun = any(look(task.folder.of(run)).state in FINISHED for run in task.matrix.runs)
    if not begun or "rule" not in known:
        return seeds
    return int(known["rule"].get("planned", len(known["seeds"])))


def _swept_facts(task: Task) -> dict[str, Any]:
    """Return the entry of compare.json from which the report draws maps; {} for less than two keys.

    It says for each arm its group, and the value of each key that is swept.
    """
    arms = [arm for arm in task.matrix.arms if len(arm.swept) > 1]
    if not arms:
        return {}
    by_arm = {arm.label: {"group": arm.group, "values": dict(arm.swept)} for arm in arms}
    return {"swept": {"design": task.settings.design, "arms": by_arm}}


def facts(task: Task) -> dict[str, Any]:
    """Return the content of compare.json."""
    settings = task.settings
    return {
        "format": 1,
        "command": list(task.words),
        "arms": [arm.label for arm in task.matrix.arms],
        "envs": list(task.matrix.envs),
        "seeds": list(task.matrix.seeds),
        "runs": [
            {"name": run.name, "arm": run.arm.label, "env": run.env, "seed": run.seed}
            for run in task.matrix.runs
        ],
        "rule": {
            "margin": settings.margin,
            "baseline": settings.baseline,
            "race": settings.race,
            "planned": _planned(task),
            "alpha": Rule().alpha - racing.ALPHA * settings.race,  # a race uses its own share
        },
        "varies": list(settings.varies),
        **_swept_facts(task),
        "looks": looks.marked(task.folder.path),
        "fairness": [
            {
                "env": fair.env,
                "rows": [
                    {
                        "name": row.name,
                        "values": dict(zip(fair.arms, row.values, strict=True)),
                        "kind": row.kind,
                        "because": list(row.because),
                    }
                    for row in fair.rows
                ],
            }
            for fair in task.fair
        ],
        "threads": str(task.share.threads),
        "versions": provenance.versions(),
        "git": provenance.git_revision(),
        "machine": provenance.machine(),
    }
