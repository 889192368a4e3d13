"""The sample theatre of the page: a problem, and the answers of all arms to it, side by side.

Runs with the same seed record answers to the same problems at every evaluation. So the final
answers of all arms can be shown together. A model's text is untrusted. It is shortened, its control
characters are made visible, and the template escapes it. A picture is stored once per problem.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mssr_rl.comparison.evidence import ComparedRun
from mssr_rl.report.gallery import RolloutCard, card
from mssr_rl.report.runfiles import Row

MAX_BYTES = 9_000_000  # bound for texts and pictures, so that the page stays below 15 MB
MAX_SCENES = 240


class Scene(NamedTuple):
    """One problem, and one answer per arm in the order of the arms; None for a missing answer."""

    seed: int
    split: str
    problem: RolloutCard  # the first answer's card: question, pictures, gold
    answers: tuple[RolloutCard | None, ...]

    @property
    def outcome(self) -> str:
        """One letter per arm: r for a right answer, w for a wrong one, - for a missing one."""
        return "".join("-" if a is None else "r" if a.right else "w" for a in self.answers)

    @property
    def weight(self) -> int:
        """The size of the texts and pictures in bytes, without HTML markup."""
        pictures = sum(map(len, self.problem.pictures))
        return pictures + sum(a.weight - sum(map(len, a.pictures)) for a in self.answers if a)


class Theatre(NamedTuple):
    """The scenes that fit on the page, and the number of recorded problems."""

    arms: tuple[str, ...]
    scenes: tuple[Scene, ...]
    recorded: int  # all recorded problems, shown or not


def theatre(runs: Sequence[ComparedRun], arms: Sequence[str]) -> Theatre:
    """Return the final answers by problem, as many as fit.

    Problems that some arms answered right and others wrong come first.
    """
    by_problem: dict[tuple[int, str, str], dict[str, tuple[ComparedRun, Row]]] = {}
    for run in runs:
        if run.counts:
            for row in run.final_answers():
                key = (run.seed, str(row["split"]), str(row["key"]))
                by_problem.setdefault(key, {})[run.arm] = (run, row)
    ordered = sorted(by_problem.items(), key=lambda item: (not _disagree(item[1]), item[0]))
    scenes, room = [], MAX_BYTES
    for (seed, split, _), answers in ordered[:MAX_SCENES]:
        scene = _scene(seed, split, answers, arms)
        room -= scene.weight
        if room < 0:
            break
        scenes.append(scene)
    return Theatre(tuple(arms), tuple(scenes), len(by_problem))


def _disagree(answers: Mapping[str, tuple[ComparedRun, Row]]) -> bool:
    return len({row["reason"] == "correct" for _, row in answers.values()}) > 1


def _scene(
    seed: int, split: str, answers: Mapping[str, tuple[ComparedRun, Row]], arms: Sequence[str]
) -> Scene:
    cards = [
        card(answers[arm][1], answers[arm][0].files.folder)  # type: ignore[union-attr]
        if arm in answers
        else None
        for arm in arms
    ]
    return Scene(seed, split, next(shown for shown in cards if shown), tuple(cards))
