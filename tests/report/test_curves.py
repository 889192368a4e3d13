"""curves: what is drawn, what is left out, and what is said to those who do not see it."""

import re
import xml.etree.ElementTree as ET

from hypothesis import example, given
from hypothesis import strategies as st

from mssr_rl.report.curves import MAX_POINTS, Chart, ChartLine, Point, draw, moving_average, thin

NAN = float("nan")


def chart(ys: list[float], smooth: int = 1, name: str = "reward") -> Chart:
    points = tuple(Point(256.0 * i, y, float(i)) for i, y in enumerate(ys, 1))
    line = ChartLine(name=name, points=points, smooth=smooth)
    return Chart(title=name, unit="nats per token", lines=(line,))


def drawn(ys: list[float], smooth: int = 1) -> ET.Element:
    return ET.fromstring(draw(chart(ys, smooth)))


def path_of(svg: ET.Element, kind: str) -> str:
    found = [path for path in svg.iter("path") if path.get("class") == kind]
    return found[0].get("d", "") if found else ""


def test_a_moving_average_uses_the_neighbours_that_exist() -> None:
    assert moving_average([0.0, 3.0, 6.0, 9.0], 3) == [1.5, 3.0, 6.0, 7.5]


def test_a_window_of_one_changes_nothing() -> None:
    assert moving_average([1.0, 5.0], 1) == [1.0, 5.0]


def test_a_line_is_not_drawn_across_a_missing_value() -> None:
    assert path_of(drawn([1.0, 2.0, NAN, 3.0, 4.0]), "line").count("M") == 2


def test_smoothing_keeps_the_raw_values_as_a_faint_line() -> None:
    svg = drawn([float(i % 3) for i in range(30)], smooth=5)
    assert path_of(svg, "raw") != path_of(svg, "line") != ""


def test_a_single_value_is_drawn_as_a_dot() -> None:
    assert any(c.get("class") == "dot" for c in drawn([0.5]).iter("circle"))


def test_nothing_finite_gives_a_sentence_instead_of_a_chart() -> None:
    assert "no values yet" in draw(chart([NAN, float("inf")]))
    assert "no values yet" in draw(chart([]))


def test_a_spike_survives_thinning() -> None:
    points = [Point(float(i), 9.0 if i == 5_001 else 0.0, float(i)) for i in range(10_000)]
    kept = thin(points)
    assert len(kept) <= MAX_POINTS
    assert max(p.y for p in kept) == 9.0


def test_a_long_run_stays_a_small_picture() -> None:
    assert len(draw(chart([(i % 7) / 7 for i in range(20_000)], smooth=101))) < 60_000


def test_pointing_anywhere_names_step_rollouts_and_value() -> None:
    titles = [t.text or "" for t in drawn([0.25, 0.5]).iter("title")]
    assert titles == ["step 1, 256 rollouts: 0.25", "step 2, 512 rollouts: 0.5"]


def test_the_last_value_can_always_be_pointed_at() -> None:
    titles = [t.text or "" for t in drawn([float(i) for i in range(1, 501)]).iter("title")]
    assert titles[-1].startswith("step 500,")
    assert len(titles) <= 60


def test_the_horizontal_axis_counts_rollouts_and_names_steps_below() -> None:
    texts = [t.text for t in drawn([1.0] * 40).iter("text")]
    assert {"0 rollouts", "step", "5k", "20"} <= set(texts)  # 5,000 rollouts are step 19.5


def test_a_chart_speaks_to_a_screen_reader() -> None:
    said = drawn([0.25, 0.5]).get("aria-label", "")
    assert said == "reward, nats per token. reward: 0.25 at step 1, 0.5 at step 2"


def test_an_interval_is_drawn_as_a_band() -> None:
    points = tuple(Point(float(i), 0.5, float(i), 0.4, 0.6) for i in range(3))
    line = ChartLine(name="greedy", points=points, dots=True)
    svg = ET.fromstring(draw(Chart(title="a", unit="b", lines=(line,), share=True)))
    assert path_of(svg, "band").endswith("Z")
    assert "50.0\u00a0% (40.0 to 60.0)" in next(t.text or "" for t in svg.iter("title"))


def test_names_are_escaped() -> None:
    svg = draw(chart([1.0, 2.0], name='<script>"&'))
    ET.fromstring(svg)
    assert "<script" not in svg


@given(st.lists(st.floats(-1e12, 1e12) | st.just(NAN), min_size=1, max_size=30))
@example([0.0, 5e-324])
@example([-1e-310, 1e-308])
def test_whatever_the_values_the_chart_is_well_formed(ys: list[float]) -> None:
    svg = draw(chart(ys, smooth=3))
    ET.fromstring(svg)
    assert not re.search(r"[^a-z](nan|inf)[^a-z]", svg)
