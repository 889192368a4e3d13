"""The field's formats, a row of each as its set or trainer writes it: read without a word."""

import base64
import io
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from PIL import Image

from mssr_rl.data import formats, reader, row_faults, sources
from mssr_rl.data.conversations import conversation
from mssr_rl.errors import UserError
from mssr_rl.problem import Problem
from mssr_rl.prompts import INSTRUCTIONS

Row = dict[str, Any]


def png(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


RED, BLUE = png(), png("blue")
IMAGE = {"bytes": RED, "path": None}
TEXT = base64.b64encode(RED).decode()


def read(*rows: Mapping[str, Any], stated: str = "") -> list[Problem]:
    source = sources.Source("rows", "train", False, None, lambda: iter(rows))
    return reader.problems(source, "train", stated=stated)


def refusal(*rows: Row, stated: str = "") -> str:
    with pytest.raises(UserError) as caught:
        read(*rows, stated=stated)
    return str(caught.value)


def user(content: Any) -> list[Row]:
    return [{"role": "user", "content": content}]


ASKED = "<image>How many?"
SHOWN = "<image>Which?\nChoices:\n(A) 4\n(B) five\n(C) 6"
OPTIONS = ["4", "five", "6"]

FORMATS: dict[str, tuple[Row, str, str]] = {
    "Vision-R1": ({"problem": ASKED, "images": [IMAGE], "answer": "5"}, ASKED, "5"),
    "geometry3k of EasyR1": (
        {
            "images": [IMAGE],
            "problem": ASKED,
            "answer": "5",
            "id": 3,
            "choices": ["4", "5"],
            "ground_truth": "B",
        },
        ASKED,
        "5",
    ),
    "verl": (
        {
            "data_source": "x",
            "prompt": user(f"{ASKED} {INSTRUCTIONS['paper']}"),
            "images": [IMAGE],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": "5"},
            "extra_info": {"split": "train", "index": 0, "answer": "5", "question": ASKED},
        },
        ASKED,
        "5",
    ),
    "verl without the plain question": (
        {
            "prompt": [
                {"role": "system", "content": "Be good."},
                *user(f"{ASKED} {INSTRUCTIONS['paper']}"),
            ],
            "images": [IMAGE],
            "reward_model": {"ground_truth": "5"},
        },
        ASKED,
        "5",
    ),
    "R1-V": (
        {"image": IMAGE, "problem": "How many?", "solution": "<answer> 5 </answer>"},
        ASKED,
        "5",
    ),
    "multimodal open-r1": (
        {
            "image": IMAGE,
            "problem": "How many?",
            "solution": "<think>\nso\n</think>\n\n<answer>5</answer>",
            "original_question": "How many?",
            "original_answer": "five",
        },
        ASKED,
        "5",
    ),
    "TRL, messages": ({"prompt": user("How many?"), "image": IMAGE, "solution": "5"}, ASKED, "5"),
    "TRL, parts": (
        {
            "prompt": user([{"type": "image"}, {"type": "text", "text": "How many?"}]),
            "images": [IMAGE],
            "answer": "5",
        },
        ASKED,
        "5",
    ),
    "OpenRLHF, JSON in a text": (
        {
            "prompt": '[{"role": "user", "content": "<image>How many?"}]',
            "label": "5",
            "images": [IMAGE],
        },
        ASKED,
        "5",
    ),
    "OpenRLHF-M's message": (
        {
            "message": json.dumps(
                user(
                    [
                        {"type": "image", "image": f"data:image/png;base64,{TEXT}"},
                        {"type": "text", "text": "How many?"},
                    ]
                )
            ),
            "answer": "$5$",
        },
        ASKED,
        "$5$",
    ),
    "LLaVA": (
        {
            "id": "a",
            "image": IMAGE,
            "conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": "5"}],
        },
        ASKED,
        "5",
    ),
    "ms-swift, assistant's answer": (
        {"messages": [*user(ASKED), {"role": "assistant", "content": "5"}], "images": [IMAGE]},
        ASKED,
        "5",
    ),
    "ms-swift, GRPO": ({"messages": user(ASKED), "images": [IMAGE], "solution": "5"}, ASKED, "5"),
    "OpenAI's parts": (
        {
            "messages": user(
                [
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{TEXT}"}},
                    {"type": "text", "text": "How many?"},
                ]
            ),
            "answer": 5,
        },
        ASKED,
        "5",
    ),
    "ms-swift, query and response": (
        {"query": ASKED, "response": "5", "images": [IMAGE]},
        ASKED,
        "5",
    ),
    "alpaca": ({"instruction": ASKED, "output": "5", "images": [IMAGE]}, ASKED, "5"),
    "ViRL39K": (
        {
            "question": ASKED,
            "answer": "\\boxed{5}",
            "PassRate_32BTrained": 0.5,
            "category": "c",
            "source": "s",
            "qid": "q-1",
            "image": [IMAGE],
        },
        ASKED,
        "5",
    ),
    "MMK12": (
        {"id": "1", "question": "How many?", "answer": "5", "subject": "math", "image": IMAGE},
        ASKED,
        "5",
    ),
    "MMMU": (
        {
            "id": "v_1",
            "question": "<image 1> Which?",
            "options": "['4', 'five', '6']",
            "explanation": "",
            "image_1": IMAGE,
            "image_2": None,
            "answer": "B",
            "question_type": "multiple-choice",
        },
        "<image> Which?\nChoices:\n(A) 4\n(B) five\n(C) 6",
        "B",
    ),
    "ScienceQA": (
        {
            "image": IMAGE,
            "question": "Which?",
            "choices": OPTIONS,
            "answer": 1,
            "hint": "",
            "task": "t",
            "lecture": "long",
            "solution": "see there",
        },
        SHOWN,
        "B",
    ),
    "A-OKVQA": (
        {
            "image": IMAGE,
            "question_id": "q",
            "question": "Which?",
            "choices": OPTIONS,
            "correct_choice_idx": 1,
            "direct_answers": "['x']",
            "rationales": ["r"],
        },
        SHOWN,
        "B",
    ),
    "MATH-V": (
        {
            "id": "1",
            "question": "Which? <image1>",
            "options": OPTIONS,
            "image": "images/1.jpg",
            "decoded_image": IMAGE,
            "answer": "B",
            "solution": None,
            "level": 1,
            "subject": "s",
        },
        "Which? <image>\nChoices:\n(A) 4\n(B) five\n(C) 6",
        "B",
    ),
    "MATH-V, two tags for one picture": (
        {
            "id": "1",
            "question": "<image1> and <image2>?",
            "options": [],
            "image": "images/1.jpg",
            "decoded_image": IMAGE,
            "answer": "5",
            "level": 1,
            "subject": "s",
        },
        "<image>and ?",
        "5",
    ),
    "MathVista": (
        {
            "pid": "1",
            "question": "Which?",
            "image": "images/1.jpg",
            "decoded_image": IMAGE,
            "choices": OPTIONS,
            "unit": None,
            "precision": 1.0,
            "answer": "five",
            "question_type": "multi_choice",
            "answer_type": "text",
            "query": "Hint",
        },
        SHOWN,
        "five",
    ),
    "We-Math": (
        {
            "ID": "1",
            "question": "Which?",
            "option": "A. 4; B. five; C. 6",
            "answer": "B",
            "image_path": IMAGE,
            "key": "k",
        },
        SHOWN,
        "B",
    ),
    "DynaMath": (
        {
            "id": "1",
            "question": "How many?",
            "image": "images/1.png",
            "decoded_image": IMAGE,
            "ground_truth": "5",
            "answer_type": "float",
            "subject": "s",
        },
        ASKED,
        "5",
    ),
    "LogicVista": (
        {
            "imagename": TEXT,
            "question": "How many?",
            "answer": "5",
            "reasoning": "r",
            "skill": ["s"],
            "broad_capability": ["b"],
            "imagesource": "i",
        },
        ASKED,
        "5",
    ),
    "VLMEvalKit": (
        {
            "index": 0,
            "question": "Which?",
            "hint": None,
            "A": "4",
            "B": "five",
            "C": "6",
            "answer": "B",
            "category": "c",
            "image": TEXT,
        },
        SHOWN,
        "B",
    ),
    "M3CoT": (
        {
            "id": "a",
            "question": "Which?",
            "context": "It is so.",
            "choices": OPTIONS,
            "answer": "B",
            "rationale": "r",
            "image": IMAGE,
        },
        "<image>It is so.\nWhich?\nChoices:\n(A) 4\n(B) five\n(C) 6",
        "B",
    ),
    "AI2D": (
        {"question": "Which?", "options": ["0", "x", "2"], "answer": "2", "image": IMAGE},
        "<image>Which?\nChoices:\n(A) 0\n(B) x\n(C) 2",
        "2",
    ),
    "ChartQA": ({"image": IMAGE, "query": "How many?", "label": ["5"]}, ASKED, "5"),
    "GSM8K": ({"question": "How many?", "answer": "2 + 3 = 5\n#### 5"}, "How many?", "5"),
    "options as columns": (
        {
            "question": "Which?",
            "choice_a": "4",
            "choice_b": "five",
            "choice_c": "6",
            "answer": "B",
            "image": IMAGE,
        },
        SHOWN,
        "B",
    ),
    "options as an object": (
        {
            "question": "Which?",
            "options": {"A": "4", "B": "five", "C": "6"},
            "answer": "B",
            "image": IMAGE,
        },
        SHOWN,
        "B",
    ),
    "ARC's options": (
        {
            "question": "Which?",
            "choices": {"text": OPTIONS, "label": ["A", "B", "C"]},
            "answer": "B",
            "image": IMAGE,
        },
        SHOWN,
        "B",
    ),
    "options with their letters": (
        {
            "question": "Which?",
            "options": ["A. 4", "B. five", "C. 6"],
            "answer": "B. five",
            "image": IMAGE,
        },
        SHOWN,
        "B",
    ),
    "options shown already": (
        {
            "question": "Which?\n(A) 4\n(B) five\n(C) 6",
            "options": OPTIONS,
            "answer": "B",
            "image": IMAGE,
        },
        "<image>Which?\n(A) 4\n(B) five\n(C) 6",
        "B",
    ),
    "capital names": ({"Question": "How many?", "Answer": "5", "Image": IMAGE}, ASKED, "5"),
    "list as a text": ({"problem": ASKED, "images": f"['{TEXT}']", "answer": "5"}, ASKED, "5"),
    "another tag": (
        {"problem": "<|image_1|>How many?", "images": [IMAGE], "answer": "5"},
        ASKED,
        "5",
    ),
    "a model's own tag": (
        {
            "problem": "<|vision_start|><|image_pad|><|vision_end|>How many?",
            "images": [IMAGE],
            "answer": "5",
        },
        ASKED,
        "5",
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_of_the_field_is_read_without_a_word(name: str) -> None:
    row, prompt, answer = FORMATS[name]
    (problem,) = read(row)
    assert (problem.prompt, problem.answer) == (prompt, answer)
    assert problem.images == (RED,) * prompt.count("<image>")


def test_how_the_columns_were_read_is_said() -> None:
    with row_faults.noted() as said:
        read(FORMATS["verl"][0])
        read({"question": "How many?", "label": "5", "img": IMAGE})
    assert said.lines == [
        "as verl: prompt, images, reward_model.ground_truth",
        "by their names: env.columns={problem: question, images: img, answer: label}",
    ]


def test_columns_that_nobody_knows_are_named_with_a_proposal_that_works() -> None:
    strange = {
        "frage": "How many dots are there in it?",
        "bild": IMAGE,
        "wert": "5",
        "note": "none",
    }
    row, other = strange, {**strange, "wert": "6"}
    said = refusal(row, other)
    assert "no column was recognised as the problem and the answer; found frage, bild" in said
    stated = "{problem: frage, images: bild, answer: wert}"
    assert f"env.columns={stated}" in said
    assert [p.answer for p in read(row, other, stated=stated)] == ["5", "6"]


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ("{problem: nothing}", "there is no column nothing; found problem, images, answer"),
        ("{question: problem}", "env.columns knows no question; it takes problem, images, answer"),
        ("problem", "cannot be read; write it as env.columns={problem: question"),
    ],
)
def test_a_wrong_mapping_is_answered_in_a_sentence(stated: str, says: str) -> None:
    assert says in refusal(FORMATS["Vision-R1"][0], stated=stated)


def test_a_mapping_takes_lists_nested_columns_quotes_and_columns_to_ignore() -> None:
    row = {
        "a": {"q": "Same?"},
        "left": IMAGE,
        "right": {"bytes": BLUE},
        "mask": {"bytes": BLUE},
        "k": "no",
    }
    stated = "{'problem': a.q, images: [left, right], answer: \"k\", ignored: [mask]}"
    (problem,) = read(row, stated=stated)
    assert (problem.prompt, problem.images) == ("<image><image>Same?", (RED, BLUE))


# ---- nothing is lost in silence ----


def test_a_second_column_with_pictures_is_refused_with_the_words_that_settle_it() -> None:
    row = {"problem": "How many?", "image": IMAGE, "mask": {"bytes": BLUE}, "answer": "5"}
    said = refusal(row)
    assert "row 0 (id train-0): the column 'mask' holds pictures and would not be read" in said
    assert "set env.columns={images: [image, mask]}, or ignored: mask" in said
    assert len(read(row, stated="{images: [image, mask]}")[0].images) == 2
    assert len(read(row, stated="{ignored: mask}")[0].images) == 1


def test_pictures_that_come_late_in_a_data_set_are_noticed() -> None:
    plain = {"problem": "How many?", "answer": "5", "extra": None}
    rows = [{**plain, "problem": f"{i}?"} for i in range(300)]
    rows[250]["extra"] = IMAGE
    assert "row 250 (id train-250): the column 'extra' holds pictures" in refusal(*rows)
    rows[250] = {**plain, "other": IMAGE}
    assert "the column 'other' holds pictures" in refusal(*rows)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"problem": "<image 2> How many?"}, "names picture 2 in a tag but has 1 pictures"),
        ({"problem": "<image><image>?"}, "has 2 <image> tags but 1 pictures"),
        ({"images": []}, "has 1 <image> tags but 0 pictures"),
        ({"problem": [*user("a?"), *user("b?")]}, "is a conversation with 2 questions"),
        ({"problem": user([{"type": "video", "video": 3}])}, "a message part that is neither text"),
        ({"choices": [IMAGE, IMAGE]}, "choices that are not texts but dict"),
        ({"choices": OPTIONS, "answer": "E"}, "has the answer 'E' but only 3 options"),
        ({"choices": OPTIONS, "answer": "seven"}, "'seven', which is not one of its 3 options"),
        ({"choices": OPTIONS, "answer": "A. six"}, "'A. six', but its option A is '4'"),
        (
            {"choices": ["x", "y"], "answer": 1},
            "is not one of its 2 options (x, y); if it is the place",
        ),
        (
            {"choices": ["1", "2"], "answer": 1},
            "that is the option 1, or the place of 2 counted from 0",
        ),
    ],
)
def test_what_cannot_be_asked_or_answered_is_refused_with_its_row(changed: Row, says: str) -> None:
    said = refusal({"problem": ASKED, "images": [IMAGE], "answer": "5", **changed})
    assert says in said
    assert said.startswith("rows row 0 (id train-0)")


def test_numbered_tags_stand_for_the_picture_of_their_number() -> None:
    two = {"images": [IMAGE, {"bytes": BLUE}], "answer": "5"}
    prompts = [
        read({**two, "problem": text})[0].prompt
        for text in (
            "<image 1> or <image 2>?",
            "<image 2> after <image 1>?",
            "In <image 1>, <image 1>?",
        )
    ]
    assert prompts == [
        "<image> or <image>?",
        "Picture 1: <image>\nPicture 2: <image>\npicture 2 after picture 1?",
        "Picture 1: <image>\nPicture 2: <image>\nIn picture 1, picture 1?",
    ]


# ---- places of options ----


def test_whole_numbers_are_places_from_0_if_a_0_is_among_them_and_from_1_if_the_last_is() -> None:
    def answers(*given: Any, stated: str = "") -> list[str]:
        rows = [
            {"question": f"{i}?", "choices": ["p", "q", "r"], "answer": a}
            for i, a in enumerate(given)
        ]
        return [problem.answer for problem in read(*rows, stated=stated)]

    assert answers(0, 2, 1) == ["A", "C", "B"]
    assert answers(3, 1, 2) == ["C", "A", "B"]
    assert answers("0", "1") == ["A", "B"]
    assert answers(1.0, 0.0) == ["B", "A"]
    assert answers(1, 2, stated="{answer_index: answer}") == ["B", "C"]
    assert answers(1, 2, stated="{answer_number: answer}") == ["A", "B"]
    with pytest.raises(UserError, match="if it is the place of one, set env"):
        answers(1, 2)
    with pytest.raises(UserError, match="its 3 options count from 0 to 2"):
        answers(1, 3, stated="{answer_index: answer}")


# ---- conversations ----


def test_what_is_no_conversation_is_left_alone() -> None:
    for value in ("[{", "a text", ["a"], [{"text": "a"}], {}, None, "[1, 2]"):
        assert conversation(value) is None


@pytest.mark.parametrize("value", [Decimal("7.50"), 7.5, "7.5"])
def test_parsed_mappings_do_not_depend_on_the_form_of_the_answer(value: Any) -> None:
    (problem,) = read({"problem": "?", "answer": value})
    assert float(problem.answer) == 7.5


def test_an_empty_statement_states_nothing() -> None:
    assert formats.parsed(" ") == {}


def test_a_list_of_pictures_with_an_empty_place_is_refused_with_its_row() -> None:
    said = refusal({"problem": "How many?", "images": [IMAGE, None], "answer": "5"})
    assert "has no picture at place 1 of the list in images: it is empty" in said
    assert "row 0" in said


def test_a_prompt_and_its_completion_are_a_question_and_its_answer() -> None:
    (problem,) = read({"prompt": ASKED, "completion": "5", "image": IMAGE})
    assert (problem.prompt, problem.answer, len(problem.images)) == (ASKED, "5", 1)
