"""Measures wall time by phase, for all phases of the trainer."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Clock:
    """Sums the seconds of named, non-overlapping phases."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the block's wall time to the phase `name`, even if the block raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start

    def elapsed(self) -> float:
        """Return the seconds since the clock was made."""
        return time.perf_counter() - self._start

    def seconds(self) -> Mapping[str, float]:
        """Return {phase: seconds}, with the time outside of all phases as `other`.

        The sum of all values is `elapsed`.
        """
        named = dict(self._seconds)
        return {**named, "other": max(0.0, self.elapsed() - sum(named.values()))}
