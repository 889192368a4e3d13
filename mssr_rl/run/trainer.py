"""The training loop: evaluate, save, make a step, log, and repeat until the budget is spent.

`step` makes a training step, `lifecycle` starts and resumes runs, `runlog` and `checkpoint` write
files. A run ends done, interrupted (with a checkpoint), collapsed or failed, as run.json says.
"""

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mssr_rl.budget import Coming, Ledger, exhausted
from mssr_rl.config import Config, recorded
from mssr_rl.envs.environment import ProblemEnv
from mssr_rl.errors import Collapsed, EngineLost, NotFinite, RunFailed
from mssr_rl.run import (
    broken_step,
    changes,
    checkpoint,
    initial,
    lifecycle,
    mismatch,
    provenance,
    recording,
    samples,
    scoring,
    watch,
)
from mssr_rl.run.arm import (
    MakeEngine,
    TrainingSetup,
    assemble,
    eval_plan,
    facts,
    opening,
    started,
)
from mssr_rl.run.changes import Change
from mssr_rl.run.checkpoint import ResumePoint, TrainState
from mssr_rl.run.draft import BrokenStep
from mssr_rl.run.gather import Poll
from mssr_rl.run.interrupt import UNBEGUN, Interrupt, Interrupted
from mssr_rl.run.loggers import Loggers
from mssr_rl.run.mishaps import in_words
from mssr_rl.run.progress import Display, display
from mssr_rl.run.pulse import Pulse
from mssr_rl.run.runlog import RunLog
from mssr_rl.run.samples import Push, Sample
from mssr_rl.run.stalls import Watch
from mssr_rl.run.step import StepResult, first_state, leave_out, train_step
from mssr_rl.run.stopwatch import Clock
from mssr_rl.run.summary import Ending, closing_lines, gpus, summary
from mssr_rl.stability.stability_card import first_collapse, not_finite, scorecard
from mssr_rl.stability.trace import Trace

SHOWN_PER_STEP = 4  # rollouts in samples.jsonl
SHOWN_PER_EVALUATION = 16
SHOWN_BY_LOGGERS = 4
AS_IT_WAS = "the run is unchanged, and the same command continues it"


def train(config: Config) -> None:
    """Train, evaluate and report as the config says. Raises `RunFailed` if the run ends early."""
    from mssr_rl.engine import make_engine

    run(config, make_engine)


def run(
    config: Config, make_engine: MakeEngine, session: "Callable[..., Session] | None" = None
) -> Path:
    """Train as `train` does, with the caller's engine and session class.

    Returns the run directory.
    """
    unbegun = AS_IT_WAS if config.resume else UNBEGUN
    with Interrupt(unbegun) as interrupt, ExitStack() as stack:
        # The log is opened first, because an engine takes minutes to start.
        log = stack.enter_context(closing(lifecycle.open_log(config)))
        screen = stack.enter_context(closing(display(config.budget.rollouts)))
        with log.starting():
            arm = assemble(config, make_engine)
        going = None
        try:
            going = (session or Session)(arm, log, screen, interrupt)
            with log.guarding():
                going.run()
        finally:
            if going is not None:
                going.loggers.close("failed")  # an end with another name has closed them already
            (arm if going is None else going.arm).engine.close()
        return log.folder


class Session:
    """A run in progress: its parts and its current state."""

    def __init__(
        self, arm: TrainingSetup, log: RunLog, screen: Display, interrupt: Interrupt
    ) -> None:
        self.arm = arm
        self.log = log
        self.screen = screen
        self.interrupt = interrupt
        self.state = first_state(arm)
        self.saved: checkpoint.SavedMoment | None = None  # of the newest checkpoint
        self.rows: list[dict[str, float]] = []  # metrics so far, the keys that detectors read
        self.pulse = Pulse(log.folder, arm.allowance.steps)
        self.loggers = Loggers(log.folder, arm.config, screen.say)

    def run(self) -> None:
        """Run to the end, and record how the run ended."""
        self.interrupt.hold()
        known, config = facts(self.arm), self.arm.config
        # These checks come before `ending`: a run that may not be resumed must stay unchanged, and
        # the refusal must not be recorded as its end.
        changed = lifecycle.held_to_record(self.log, known, config) if config.resume else []
        newest = lifecycle.newest(self.log) if config.resume else None
        try:
            with self.log.ending():  # `_end` overwrites its entry for known ends
                self._begin(known, changed, newest)
                with self._watch():
                    self._survive(self._loop_or_save)
        except Interrupted as stop:
            reason = f"{stop} {self._kept()}"
            self._end("interrupted", reason)
            sentence = f"{reason}; {self.goes_on()}"
            if stop.signum == signal.SIGINT:
                self.screen.say(sentence)
                raise KeyboardInterrupt from None
            raise Interrupted(sentence, stop.signum) from None
        except Collapsed as collapse:
            self._end("collapsed", str(collapse), refused=isinstance(collapse, NotFinite))
            raise
        self._end("done", self._spent_all() or "the budget is spent")

    def _begin(
        self, known: Mapping[str, Any], changed: Sequence[Change], newest: ResumePoint | None = None
    ) -> None:
        """Print the setup and all changes, and restore the state of a resumed run."""
        config = self.arm.config
        for line in (*opening(self.arm), f"results {self.log.folder}", *changes.lines(changed)):
            self.screen.say(line)
        if newest is not None:
            self._restore(newest, self.state)
        new = changes.at(self.state.step, changed, config.accept)
        lifecycle.describe(self.log, known, config, new)

    def goes_on(self) -> str:
        """Return a text for the end of a message that says how to continue the run."""
        return f"{lifecycle.way_back(self.arm.config, self.log)} continues"

    def _kept(self) -> str:
        """Return a text for a message that says where an interrupted run stopped."""
        step = self.state.step
        if step == 0:
            return "before step 1"
        if self.saved is None or step != self.saved.step:  # the engine was lost, so nothing saved
            return f"after step {step}; what came after the newest checkpoint is done again"
        return f"after step {step}, which is saved"

    # ---- a lost engine ----

    def _survive(self, loop: Callable[[], None]) -> None:
        """Run `loop`, and run it again after a lost engine, up to `fault.retries` times.

        Raises:
            EngineLost: the engine was lost more often than that.
        """
        retries = self.arm.config.fault.retries
        for restart in range(1, retries + 1):
            try:
                return loop()
            except EngineLost as loss:
                self.interrupt.check()  # a signal may have ended the engine and reached us too
                self.screen.say(f"{loss}; restart {restart} of {retries}")
                self._restart()
        try:
            return loop()
        except EngineLost as loss:
            self.interrupt.check()
            raise EngineLost(
                f"{loss}; fault.retries={retries} restarts were made; {self.goes_on()}"
            ) from loss

    def _restart(self) -> None:
        """Start a new engine at the newest valid checkpoint; later steps are run again."""
        self.arm.engine.close()
        arm = self.arm
        self.arm = arm._replace(engine=started(arm.config, arm.make_engine, arm.train))
        self.interrupt.hold()
        self._restore(lifecycle.newest(self.log), first_state(self.arm))

    def _restore(self, newest: ResumePoint, first: TrainState) -> None:
        """Restore the run from the checkpoint `newest`; `first` is the state before step 1."""
        self.state, messages = lifecycle.restore(self.arm, self.log, first, newest)
        self.saved = checkpoint.mark(self.state)
        self.rows = [watch.kept(row) for row in self.log.read("metrics")]
        for line in messages:
            self.screen.say(line)

    # ---- the loop ----

    def _watch(self) -> Watch:
        return Watch(self.pulse, self.arm.config.fault, self.log.folder, self.screen.say)

    def _enter(self, phase: str) -> None:
        self.pulse.enter(phase, self.state.step, self.state.ledger.rollouts)

    def _poll(self, phase: str) -> None:
        """Mark the start of a phase; raise `Interrupted` if a signal was received."""
        self.interrupt.check()
        self._enter(phase)

    def _loop_or_save(self) -> None:
        """Run the loop; if it ends early, save the last completed step if possible."""
        try:
            self._loop(self._poll)
        except Interrupted:
            self._save()  # here, where a second signal still ends the process at once
            raise
        except EngineLost:
            raise  # the policy is lost with the engine, so there is nothing to save
        except Exception as error:
            phase = self.pulse.beat.phase
            if self.pulse.policy_at_rest:
                self._save()
            known = in_words(error, phase, self.arm.config)
            if known is None or isinstance(error, RunFailed):
                raise
            raise known from error

    def _loop(self, poll: Poll) -> None:
        """Evaluate and save when due, then make a step, until the budget is spent."""
        config = self.arm.config
        while True:
            poll("start")
            # Evaluate, then save: the checkpoint holds the score, and a resumed run does not score
            # again.
            if self._due(config.eval.every, at_start=True):
                self._evaluate(self.arm.val, poll)
            if config.eval.test_at_start and self.state.step == 0:
                self._evaluate(self.arm.test, poll)
            if self._due(config.checkpoint.every, at_start=False):
                self._save()
            if self._spent_all() is not None:
                break
            self._stop_if_collapsed()
            if initial.is_due(self.arm, self.state):
                self.state = initial.initialised(self.arm, self.state, poll)
            self._advance(self._step(poll))
        self._evaluate(self.arm.test, poll)
        watch.stop_if_collapsed(self._record(), self.arm.config.stability, "the budget is spent")

    def _step(self, poll: Poll) -> StepResult:
        """Make a step; skip it if it breaks and may be left out.

        Raises `NotFinite` if a broken step may not be left out.
        """
        try:
            return train_step(self.arm, self.state, poll)
        except BrokenStep as broken:
            sentence = self._keep(broken)
            if not self._may_be_left_out(broken):
                raise NotFinite(
                    f"{sentence}. Try a smaller train.lr or a smaller train.max_grad_norm; "
                    "fault.non_finite=skip leaves such a step out"
                ) from broken
            self.screen.say(f"left out  {sentence}")
            return leave_out(self.state, broken.draft)

    def _keep(self, broken: BrokenStep) -> str:
        folder = self.log.folder / "faults"
        return f"{broken}; {broken_step.keep(folder, self.arm.engine, self.state, broken)}"

    def _may_be_left_out(self, broken: BrokenStep) -> bool:
        """Return whether to skip the broken step.

        It is skipped if `fault.non_finite=skip`, the policy is sound, and not too many steps were
        skipped before.
        """
        wanted = self.arm.config.fault.non_finite == "skip"
        return wanted and not broken.draft.updated and self.state.skipped + 1 < broken_step.TOO_MANY

    def _due(self, every: int, *, at_start: bool) -> bool:
        step = self.state.step
        if step == 0:
            return at_start
        return self._spent_all() is not None or (every > 0 and step % every == 0)

    def _spent_all(self) -> str | None:
        """Return the reason why no further step is possible; None while the budget pays for one."""
        config = self.arm.config
        size = config.train.rollouts_per_step
        updates = size // config.train.samples_per_update * config.train.epochs
        rollouts = size + self.arm.greedy_per_step
        step = Coming(rollouts=rollouts, updates=updates, gpus=gpus(config))
        return exhausted(self.state.ledger, config.budget, step)

    def _advance(self, result: StepResult) -> None:
        """Record a completed step and make its state the current one."""
        step = result.state.step
        self.log.write("metrics", result.metrics)
        chosen = self._choose(SHOWN_PER_STEP, result.samples, "train")
        shown = [result.samples[i] for i in chosen]
        pushes = [result.pushes[i] for i in chosen if result.pushes]
        self._record_samples(shown, "train", step, pushes)
        if result.recorded and recording.is_due(self.arm.config.lens.every, step):
            recording.record_step(self.log.folder, step, result.recorded, self.state.algorithm)
        self.state = result.state
        self.rows.append(watch.kept(result.metrics))
        self.loggers.scalars(step, {k: v for k, v in result.metrics.items() if k != "step"})
        self.screen.step(result.metrics)
        for alarm in mismatch.alarms(result.metrics, self.arm.config):
            self.screen.say(alarm)
        if step == 1:
            self._audit(shown)

    def _audit(self, shown: Sequence[Sample]) -> None:
        """Print some rollouts of step 1 with their rewards, so that a wrong grader is noticed."""
        self.screen.say("rewards of step 1, some of them:")
        for sample in shown:
            self.screen.say(samples.audit_line(sample))

    def _evaluate(self, env: ProblemEnv, poll: Poll) -> None:
        """Score one split, unless it was scored at this step before the run was resumed."""
        step = self.state.step
        if any(s.step == step and s.split == env.split for s in self.state.scores):
            return
        clock = Clock()
        plan, between = eval_plan(self.arm.config), partial(poll, "evaluate")
        evaluation = scoring.evaluate(self.arm.engine, env, plan, step, between)
        # A batch system signals all processes, also the graders. An answer whose grader was killed
        # counts as wrong. So this poll ends the run before such an evaluation is recorded, and the
        # resumed run makes it again. No checkpoint may be written between the record and the new
        # state below.
        poll("record")
        spent = evaluation.spent + Ledger(seconds_by_phase={"evaluate": clock.elapsed()})
        ledger = self.state.ledger + spent
        self.log.write("eval", scoring.evaluation_record(evaluation, ledger))
        chosen = self._choose(SHOWN_PER_EVALUATION, evaluation.greedy, env.split)
        self._record_samples([evaluation.greedy[i] for i in chosen], env.split, step)
        self.state = self.state._replace(
            ledger=ledger, scores=(*self.state.scores, evaluation.score)
        )
        self.loggers.scalars(step, scoring.chart(evaluation.score))
        shown = [evaluation.greedy[i] for i in chosen[:SHOWN_BY_LOGGERS]]
        self.loggers.rollouts(
            step, [samples.logged(one, env.split, self.log.folder) for one in shown]
        )
        self.screen.score(evaluation.score)

    def _choose(self, count: int, among: Sequence[Sample], split: str) -> list[int]:
        # Training shows different rollouts at every step, evaluation always the same problems.
        names = ("train", self.state.step) if split == "train" else (split,)
        return samples.choose(count, len(among), *names, seed=self.arm.config.seed)

    def _record_samples(
        self, shown: Sequence[Sample], split: str, step: int, pushes: Sequence[Push | None] = ()
    ) -> None:
        for sample, push in zip_longest(shown, pushes):
            images = samples.write_pictures(sample.problem, self.log.folder)
            more = {} if push is None else samples.pushed(sample, push)
            record = samples.sample_record(sample, step, split, images)
            self.log.write("samples", {**record, **more})

    # ---- saving and ending ----

    def _save(self) -> None:
        """Write a checkpoint of the state, unless it is already saved."""
        if self.saved == checkpoint.mark(self.state):
            return
        self._enter("checkpoint")
        clock = Clock()
        store = lifecycle.store(self.log, self.arm.config)
        checkpoint.save(store, self.arm.engine, self.state, self.log.sizes())
        self.saved = checkpoint.mark(self.state)
        self.log.describe(saved=self.state.step)
        # Save, then mark, then charge: the time of a save is part of the next checkpoint only.
        spent = Ledger(seconds_by_phase={"checkpoint": clock.elapsed()})
        self.state = self.state._replace(ledger=self.state.ledger + spent)

    def _final_checkpoint(self) -> dict[str, Any] | None:
        """Return the step and the manifest hash of the newest checkpoint, for `report verify=`."""
        if self.saved is None:
            return None
        step = self.saved.step
        folder = lifecycle.store(self.log, self.arm.config).folder / f"step_{step}"
        return {"step": step, "manifest": checkpoint.seal_of(folder)}

    def _record(self) -> Trace:
        return watch.trace_so_far(self.arm.allowance.steps, self.rows, self.state.scores)

    def _stop_if_collapsed(self) -> None:
        """Save and end the run if the policy collapsed and the config stops at a collapse."""
        limits = self.arm.config.stability
        if limits.stop == "collapse" and first_collapse(self._record(), limits) is not None:
            self._save()
            go_on = f"{lifecycle.way_back(self.arm.config, self.log)} stability.stop=non_finite"
            watch.stop_if_collapsed(self._record(), limits, f"{go_on} trains on all the same")

    def _end(self, status: str, reason: str, *, refused: bool = False) -> None:
        """Write summary.json, run.json and report.html, and print the last lines.

        `refused` means that NaN or infinity in a step ended the run.
        """
        # These draw charts, so they are imported only here.
        from mssr_rl.report import next_steps, run_page, runfiles

        self._enter("end")
        shown = watch.responses(self._record(), self.log.read("samples"))
        non_finite = not_finite(self.state.step + 1, reason) if refused else None
        stability = scorecard(shown, self.arm.config.stability, non_finite)
        changed = recorded.noted(self.log.record())
        ending = Ending(status, reason, stability, changed)
        document = summary(self.arm.config, self.state, ending)
        self.log.summarise(document)
        self.log.end(status, reason)
        self.loggers.close(status)
        self.log.describe(
            peak_memory_mib=provenance.peak_memory_mib(), final_checkpoint=self._final_checkpoint()
        )
        for line in closing_lines(document):
            self.screen.say(line)
        self.screen.say(f"report  {run_page.write(self.log.folder)}")
        documents = runfiles.read_documents(self.log.folder)
        for step in next_steps.next_steps(documents, self.log.name)[: next_steps.FEW]:
            self.screen.say(f"next    {step.command}    # {step.why}")
