"""Chat templates that never end or never stop growing: a sentence of their own, in time."""

import shutil
import time
from pathlib import Path

import pytest

from mssr_rl.errors import UserError
from mssr_rl.models import TINY, templates
from mssr_rl.models.load import Wanted, family_of_folder
from mssr_rl.problem import Problem

LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
DOUBLING = (
    "{% set n = namespace(x='x' * 99999) %}"
    "{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
)
ENDLESS = {
    "loops": (LOOPS, "does not end within"),
    "macro": (
        "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(40) }}",
        "does not end within",
    ),
    "doubling": (DOUBLING, "takes more than"),
    "power": ("{{ 7 ** 9999999999 }}", "does not end within|takes more than"),
    "repeat": ("{{ 'x' * 99999999999 }}", "takes more than"),
    "width": ("{{ '%099999999999d' % 1 }}", "takes more than|fails with"),
    "output": ("{% for a in range(99999) %}{{ 'x' * 999 }}{% endfor %}", "writes more than"),
    "large range": ("{% for a in range(10 ** 12) %}{% endfor %}", "fails with OverflowError"),
    "recursion": (
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "fails with RecursionError|does not end within",
    ),
    "refusal": ("{{ raise_exception('no\x1b[2J') }}", "fails with TemplateError"),
    "zero": ("{{ 1 // 0 }}", "fails with ZeroDivisionError"),
    "syntax": ("{% for %}", "fails with TemplateSyntaxError"),
    "escape": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "fails with SecurityError"),
}


@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=pytest.mark.slow if k in ("macro", "power") else ()) for k in ENDLESS],
)
def test_a_template_that_does_not_end_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(templates, "SECONDS", 1)
    text, words = ENDLESS[kind]
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    (folder / "chat_template.jinja").write_text(text)
    begun = time.process_time()
    family = family_of_folder(Wanted(str(folder)))
    with pytest.raises(UserError, match=f"chat template (?:{words})") as caught:
        family.length(Problem(key="a", prompt="?", answer="1"))
    assert "\n" not in str(caught.value)
    assert time.process_time() - begun < 5


def test_another_s_template_that_ends_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text() + "{# another #}")
    problem = Problem(key="a", prompt="how many?", answer="1")
    theirs, ours = (family_of_folder(Wanted(str(place))) for place in (folder, TINY))
    assert theirs.length(problem) == ours.length(problem)
