"""What a batch costs: medians, the rule for busy machines, and clocks that see other processes."""

import subprocess
import sys
import time

import pytest

from benchmarks.measure import BUSY, Cost, Stopwatch, peak_rss_mib, typical

BURN = "import time; e = time.process_time() + 0.3\nwhile time.process_time() < e: pass"


def costs(*pairs: tuple[float, float]) -> list[Cost]:
    return [Cost(seconds, seconds / 2, others) for seconds, others in pairs]


def test_the_typical_batch_is_the_median_of_those_nobody_disturbed() -> None:
    found = typical(costs((1, 0), (9, 2 * BUSY), (3, 0), (2, BUSY)))
    assert found == (2, 1, 3, True)


def test_where_most_are_disturbed_all_count_and_it_is_said() -> None:
    assert typical(costs((1, 0), (9, 1), (5, 1))) == (5, 2.5, 3, False)


@pytest.mark.parametrize("ended", [True, False])
def test_a_childs_processor_time_is_counted_while_it_lives_and_after(ended: bool) -> None:
    watch = Stopwatch()
    with subprocess.Popen([sys.executable, "-c", f"{BURN}\ninput()"], stdin=-1) as child:
        while Stopwatch.read(watch).cpu_seconds < 0.3:
            time.sleep(0.01)
        if ended:
            child.communicate(b"\n")
        assert watch.read().cpu_seconds >= 0.3
        child.communicate(b"\n") if not ended else None


def test_sleeping_costs_wall_time_only() -> None:
    watch = Stopwatch()
    time.sleep(0.2)
    spent = watch.read()
    assert spent.seconds >= 0.2
    assert spent.cpu_seconds < spent.seconds


def test_the_peak_of_memory_holds_what_a_child_holds() -> None:
    before = peak_rss_mib()
    hold = "x = bytearray(100 << 20); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=-1, stdout=-1) as child:
        assert child.stdout
        child.stdout.readline()
        assert peak_rss_mib() >= before + 100
        child.communicate(b"\n")
