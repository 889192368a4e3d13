"""Continues a run whose engine died, with a new engine from the newest checkpoint."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mssr_rl.errors import EngineLost
from mssr_rl.run import checkpoint, lifecycle, watch
from mssr_rl.run.arm import started
from mssr_rl.run.step import first_state

if TYPE_CHECKING:
    from mssr_rl.run.trainer import Session


def survive(session: "Session", loop: Callable[[], None]) -> None:
    """Run `loop`, and run it again after a lost engine, up to `fault.retries` times.

    Raises:
        EngineLost: the engine was lost more often than that.
    """
    retries = session.arm.config.fault.retries
    for restart in range(1, retries + 1):
        try:
            return loop()
        except EngineLost as loss:
            session.interrupt.check()  # a signal may have ended the engine and reached us too
            session.screen.say(f"{loss}; restart {restart} of {retries}")
            _restart(session)
    try:
        return loop()
    except EngineLost as loss:
        session.interrupt.check()
        raise EngineLost(
            f"{loss}; fault.retries={retries} restarts were made; {session.goes_on()}"
        ) from loss


def _restart(session: "Session") -> None:
    """Start a new engine at the newest valid checkpoint; later steps are run again."""
    session.arm.engine.close()
    arm = session.arm
    session.arm = arm._replace(engine=started(arm.config, arm.make_engine, arm.train))
    session.interrupt.hold()
    newest = lifecycle.newest(session.log)
    first = first_state(session.arm)
    session.state, messages = lifecycle.restore(session.arm, session.log, first, newest)
    session.saved = checkpoint.mark(session.state)
    session.rows = [watch.kept(row) for row in session.log.read("metrics")]
    for line in messages:
        session.screen.say(line)
