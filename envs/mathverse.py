r"""MathVerse (AI4Math/MathVerse, arXiv 2403.14624): 788 problems in five versions each.

Columns: sample_index, problem_index, problem_version, question, image, answer, question_type,
metadata, query_wo, query_cot, question_for_eval. `query_cot` is the prompt, as in RL papers. A gold
answer with several letters ("C\nD") is a set of letters. A free-form gold answer is taken out of
its sentence ("Area $=9 \pi$"). The accuracy is the mean over versions. The accuracy of each version
is reported beside it.
"""

import re
from collections.abc import Iterator

from mssr_rl.data import multiple_choice
from mssr_rl.envs import bench, drawn
from mssr_rl.envs.environment import Rules
from mssr_rl.grading.verify import Verdict, after_thinking, last_box, verify
from mssr_rl.problem import Problem

_SENTENCE = re.compile(r"\s*[A-Z][a-z]+(?: [a-z]+)*\s*\$?\s*=\s*(.+?)\$?\s*", re.DOTALL)
_LETTER = re.compile(r"\(?([A-J])\)?")
UNSEEN = "Answer the question in the picture."


def _row(raw: bench.Row) -> bench.Row:
    question = bench.text_of(raw, "query_cot") or bench.text_of(raw, "question") or UNSEEN
    answer = bench.text_of(raw, "answer").replace("\u00c2\u00b0", "\u00b0").strip()
    choice = raw["question_type"] == "multi-choice"
    choices = multiple_choice.inline(bench.text_of(raw, "question_for_eval") or question)
    metadata = raw.get("metadata") or {}
    return {
        "id": str(raw["sample_index"]),
        "problem": question,
        "images": bench.pictures_of(raw, "image"),
        "answer": answer if choice else _without_sentence(answer),
        "choices": choices if choice and _LETTER.fullmatch(answer) else None,
        "subject": metadata.get("subject"),
        **{
            name: raw.get(name)
            for name in ("problem_version", "problem_index", "question_type", "question_for_eval")
        },
    }


def _without_sentence(answer: str) -> str:
    m = _SENTENCE.fullmatch(answer)
    return m[1] if m else answer


def _verdict(problem: Problem, response: str) -> Verdict:
    """Return the verdict: several letters are compared as a set, all other answers by value."""
    letters = _letters(problem.answer)
    if letters is None or len(letters) < 2:
        return verify(response, problem.answer, problem.choices)
    plain = verify(response, problem.answer)
    boxed = last_box(after_thinking(response) or "")
    if plain.reason == "wrong" and boxed is not None and _letters(boxed) == letters:
        return Verdict("correct", boxed)
    return plain


def _letters(text: str) -> frozenset[str] | None:
    parts = [part for part in re.split(r"[\s,;]+|\band\b", text.strip()) if part]
    matches = [_LETTER.fullmatch(part) for part in parts]
    return frozenset(m[1] for m in matches if m) if parts and all(matches) else None


def _drawn(split: str, count: int) -> Iterator[bench.Row]:
    """Yield triangles in five versions; each version has more of the problem in the picture."""
    triangles = (item for item in drawn.items(split, 12 * count) if item.family == "triangle")
    for number, item in zip(range(-(-count // len(drawn.VERSIONS))), triangles, strict=False):
        for place, version in enumerate(drawn.VERSIONS):
            if number * len(drawn.VERSIONS) + place < count:
                yield _version(item, (number, place, version))


def _version(item: drawn.DrawnItem, at: tuple[int, int, str]) -> bench.Row:
    number, place, version = at
    four = drawn.choice(item) if number % 2 else None
    options = (
        "\n".join(f"{a}: {o}" for a, o in zip("ABCD", four.options, strict=True)) if four else ""
    )
    question = f"{item.question}\nChoices:\n{options}" if four else item.question
    stated = f"{item.steps.partition('.')[0]}. " if version == "Text Dominant" else ""
    seen = version != "Vision Only"
    return {
        "sample_index": str(number * len(drawn.VERSIONS) + place),
        "problem_index": str(number),
        "problem_version": version,
        "question": stated + question if seen else "",
        "image": {"bytes": item.png if seen else drawn.written_on(item, question), "path": None},
        "answer": four.letter if four else item.answer,
        "question_type": "multi-choice" if four else "free-form",
        "metadata": {"subject": "Plane Geometry", "subfield": "Angle", "source": "drawn"},
        "query_wo": stated + question if seen else "",
        "query_cot": stated + question if seen else "",
        "question_for_eval": question,
    }


FORMAT = bench.Format(
    name="mathverse",
    gym_id="MathVerse",
    about="The same problems with more and more of them in the picture (AI4Math/MathVerse).",
    hub="AI4Math/MathVerse",
    config="testmini",
    splits={"test": ("testmini", "test")},
    row=_row,
    drawn=_drawn,
    rules=Rules(per_problem=_verdict, metric="mean over the versions"),
)
mathverse = bench.registered(FORMAT)
