"""`python -m mssr_rl check algo=NAME [algo.option=value ...] [plugins=[module]]`.

It prints one line per law; the exit code is 1 if a law is broken.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mssr_rl.algos import algorithms
from mssr_rl.check_algo.algorithm_laws import LAWS, CheckedAlgorithm, Law
from mssr_rl.config import plugins, registered_names
from mssr_rl.config.words import options_of, parse_words
from mssr_rl.errors import RunFailed
from mssr_rl.typed import option


@dataclass(frozen=True, kw_only=True)
class AlgorithmWords:
    """The arguments of `check algo=NAME`."""

    algo: str = option("the algorithm that is checked")
    options: Mapping[str, str] = options_of("algo")
    plugins: tuple[str, ...] = option("modules that register algorithms", ())


def check_algorithm(arguments: Sequence[str]) -> int:
    """Check the named algorithm; return 0 if it keeps every law. Raises `RunFailed` if not."""
    subject = _subject(parse_words(AlgorithmWords, arguments))
    broken = 0
    for law in LAWS:
        why = verdict(law, subject)
        broken += why is not None
        sys.stdout.write(f"ok      {law.says}\n" if why is None else f"BROKEN  {law.says}: {why}\n")
    if broken:
        raise RunFailed(f"{subject.name} breaks {broken} of {len(LAWS)} laws")
    return 0


def verdict(law: Law, subject: CheckedAlgorithm) -> str | None:
    """Return a sentence that says how a law is broken; None if it holds."""
    try:
        return law.broken(subject)
    except Exception as error:  # noqa: BLE001  code of the user may raise anything
        return f"it fails with {type(error).__name__}: {error}"


def _subject(words: AlgorithmWords) -> CheckedAlgorithm:
    plugins.prepare(words.plugins)
    choice = registered_names.choose("algo", {"name": words.algo}, words.options)
    return CheckedAlgorithm(choice.name, lambda: algorithms.make(choice.name, **choice.options))
