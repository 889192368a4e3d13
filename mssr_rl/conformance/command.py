"""`python -m mssr_rl check algo=NAME [algo.option=value ...] [plugins=[module]]`.

A line for each law on stdout; exit code 1 if one is broken.
"""

import sys
from collections.abc import Sequence

from mssr_rl.algos import algorithms
from mssr_rl.config import names, overrides, plugins
from mssr_rl.conformance.laws import LAWS, Law, Subject
from mssr_rl.errors import RunFailed, UserError

USAGE = "check takes algo=NAME, its options as algo.option=value, and plugins=[module]"


def main(arguments: Sequence[str]) -> int:
    """Check the named algorithm; 0 when it keeps every law, else `RunFailed`."""
    subject = _subject(arguments)
    broken = 0
    for law in LAWS:
        why = verdict(law, subject)
        broken += why is not None
        sys.stdout.write(f"ok      {law.says}\n" if why is None else f"BROKEN  {law.says}: {why}\n")
    if broken:
        raise RunFailed(f"{subject.name} breaks {broken} of {len(LAWS)} laws")
    return 0


def verdict(law: Law, subject: Subject) -> str | None:
    """How a law is broken; None if it holds."""
    try:
        return law.broken(subject)
    except Exception as error:  # noqa: BLE001  the user's own code: anything may go wrong in it
        return f"it fails with {type(error).__name__}: {error}"


def _subject(arguments: Sequence[str]) -> Subject:
    words = overrides.parse(arguments)
    options = {key: text for key, text in words.items() if key.startswith("algo.")}
    others = set(words) - set(options) - {"plugins"}
    if others != {"algo"}:
        raise UserError(f"{USAGE}; got {' '.join(arguments) or 'nothing'}")
    wanted = words.get("plugins", "").strip("[]").split(",")
    plugins.prepare(module.strip() for module in wanted if module.strip())
    choice = names.choose("algo", {"name": words["algo"]}, options)
    return Subject(choice.name, lambda: algorithms.make(choice.name, **choice.options))
