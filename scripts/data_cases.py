"""Read small data sets with known faults, and compare each result with what its case.json expects.

    python scripts/data_cases.py FOLDER        a table: case, expected, result

A case is a folder with rows and a case.json. Its `command` names the environment, and its
`expected` is one of the phrases below. The exit code is 1 if any result is not as expected.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mssr_rl.data import pictures, row_faults
from mssr_rl.envs import ProblemEnv, environments
from mssr_rl.errors import UserError
from mssr_rl.grading.verify import gold_response, verify
from mssr_rl.models.load import Wanted, family_of_folder
from mssr_rl.problem import Problem
from mssr_rl.run.splits import without_unfit

ODD_ROW = 3  # of ten training rows: the one with the fault


class Came(NamedTuple):
    """The result of reading a case."""

    env: ProblemEnv | None
    faults: Sequence[str]

    @property
    def odd(self) -> Problem | None:
        """The row with the fault, if it was read."""
        problems = self.env.problems if self.env else ()
        return next((p for p in problems if p.key == f"r{ODD_ROW}"), None)

    @property
    def says(self) -> str:
        """The result as one line."""
        if self.faults:
            more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
            return f"refused: {self.faults[0]}{more}"
        assert self.env is not None
        return f"read: {len(self.env.problems)} problems; {'; '.join(self.env.notes)}"


def _read(came: Came) -> bool:
    return came.env is not None and not came.faults


def _with_pictures(came: Came) -> bool:
    return _read(came) and all(problem.images for problem in came.env.problems)  # type: ignore[union-attr]


def _refused(came: Came) -> bool:
    return bool(came.faults) and all("row" in fault for fault in came.faults)


def _level(came: Came) -> float:
    """Return the mean grey of the odd row's picture; NaN without one."""
    if came.odd is None or not came.odd.images:
        return float("nan")
    return float(np.asarray(pictures.decode(came.odd.images[0])).mean())


def _size(came: Came) -> tuple[int, int] | None:
    return pictures.decode(came.odd.images[0]).size if came.odd and came.odd.images else None


def _pay(came: Came) -> bool:
    """Return whether every gold answer is short and pays for itself, or the row is refused."""
    golds = [p.answer for p in came.env.problems] if came.env else []
    paid = all(len(g) < 20 and verify(gold_response(g), g).correct for g in golds)
    return bool(golds or came.faults) and paid


EXPECTED: Mapping[str, Callable[[Came], bool]] = {
    "trains": _read,
    "read": _with_pictures,
    "read, or mapped by an option": _with_pictures,
    "refuse and name the column, or read it": _with_pictures,
    "picture inserted at the tag or refused": lambda c: _with_pictures(c) or _refused(c),
    "as no picture": _read,
    "refused with row and reason": _refused,
    "refused at load with its row": _refused,
    "refused with row": _refused,
    "refuse": _refused,
    "row named (PASS for dup)": _refused,
    "flagged": _refused,
    "same": _refused,  # the same as the case before it: refused at load with its row
    "flagged: no short answer can pay": _pay,
    "drawn on white": lambda c: _read(c) and 200 < _level(c) <= 255,
    "upright 168x84": lambda c: _size(c) == (168, 84),
    "ramp of mean ~127": lambda c: abs(_level(c) - 127) < 3,
    "message that says list/bool/dict, or a one-element list taken": lambda c: all(
        "dict" in f or "list" in f or "bool" in f for f in c.faults
    ),
}


def came_of(folder: Path, case: Mapping[str, str]) -> Came:
    """Read a case as `check` does, and test its pictures with the model's rule."""
    arguments = dict(word.split("=", 1) for word in case["command"].split() if "=" in word)
    try:
        env = environments.make(
            arguments["env"],
            split=arguments.get("split", "train"),
            data=str(folder),
            bad_rows="leave_out",
        )
        env = without_unfit(env, family_of_folder(Wanted("tiny", max_prompt_tokens=10**6)), 10**6)
    except row_faults.BadRows as bad:
        return Came(None, bad.rows)
    except UserError as error:
        return Came(None, (str(error),))
    return Came(env, env.left_out)


def main(folder: Path) -> int:
    """Print the table. Returns 1 if any case was not as expected."""
    wrong = 0
    cases = sorted(folder.glob("*/case.json"))
    for path in cases:
        case = json.loads(path.read_text("utf-8"))
        came = came_of(path.parent, case)
        right = EXPECTED[case["expected"]](came)
        wrong += not right
        print(f"{'as expected' if right else 'OTHERWISE':12} {case['name']:24} {came.says[:160]}")
        print(f"{'':12} {'should come:':24} {case['expected']}")
    print(f"{len(cases) - wrong} of {len(cases)} cases came as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
