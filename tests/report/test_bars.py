"""bars: marks stay inside their scale."""

import xml.etree.ElementTree as ET

from mssr_rl.report.bars import WIDTH, bar, before_after, scale


def test_a_bar_never_leaves_its_box() -> None:
    for share in (-1.0, 0.0, 0.5, 7.0):
        rect = ET.fromstring(bar(share)).find("rect")
        assert rect is not None
        assert 0 <= float(rect.get("width", "-1")) <= WIDTH


def test_a_pair_runs_from_a_hollow_to_a_filled_mark() -> None:
    circles = list(ET.fromstring(before_after((0.25, 0.75))).iter("circle"))
    assert [c.get("class") for c in circles] == ["start", "end"]
    assert float(circles[0].get("cx", "0")) < float(circles[1].get("cx", "0"))


def test_what_was_not_measured_is_not_marked() -> None:
    assert len(list(ET.fromstring(before_after((None, 0.5), (None, None))).iter("circle"))) == 1


def test_the_scale_names_its_ends() -> None:
    texts = [t.text for t in ET.fromstring(scale()).iter("text")]
    assert (texts[0], texts[-1]) == ("0", "100 %")
