"""Real data sets: their raw columns from every kind of file, their splits, prompts and rules."""

import base64
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gymnasium.utils.env_checker import check_env
from PIL import Image

from mssr_rl.envs import ProblemEnv, environments
from mssr_rl.envs import hallusion_bench as hallusion
from mssr_rl.errors import UserError
from mssr_rl.grading.verify import gold_response
from mssr_rl.problem import Problem

ROOT = Path(__file__).parents[2]
REAL_MINI = ROOT.parent / "shared" / "real_mini"


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(out, "PNG")
    return out.getvalue()


PNG = png()
PICTURE = {"bytes": PNG, "path": None}

GEOMETRY3K = {
    "images": [PICTURE], "problem": "<image>Find x.", "answer": r"3 \sqrt{5}", "id": 1,
    "choices": ["6", r"3 \sqrt{5}"], "ground_truth": "B",
}  # fmt: skip
MATHVERSE = {
    "sample_index": "1", "problem_index": "1", "problem_version": "Text Dominant",
    "question": "Find x.\nChoices:\nA:145\nB:125", "image": PICTURE, "answer": "A",
    "question_type": "multi-choice", "metadata": {"subject": "Plane Geometry"},
    "query_wo": "Directly answer. Find x.", "query_cot": "Reason first. Find x.\nA:145\nB:125",
    "question_for_eval": "Find x.\nChoices:\nA:145\nB:125",
}  # fmt: skip
MATHVISTA = {
    "pid": "1", "question": "Which is longest?", "image": "images/1.jpg", "decoded_image": PICTURE,
    "choices": ["C", "B", "A"], "unit": None, "precision": None, "answer": "B",
    "question_type": "multi_choice", "answer_type": "text", "query": "Hint: ... Which is longest?",
}  # fmt: skip
MMK12 = {
    "id": "q1", "question": "Which?\nA. 5 cm\nB. 6 cm\nC. 7 cm", "answer": "B", "subject": "math",
    "image": PICTURE,
}  # fmt: skip
ONEVISION = {
    "index": 1, "question": "Hint: letter.\nQuestion: Question: Which?\nA. 5\nB. 6", "answer": "b",
    "image": base64.b64encode(PNG).decode(), "choices": None, "category": "Math", "level": "1",
}  # fmt: skip
HALLUSION = {
    "category": "VS", "subcategory": "chart", "visual_input": "1", "set_id": "0", "figure_id": "1",
    "sample_note": "", "question_id": "0", "question": "Is it so? Answer yes.", "gt_answer": "1",
    "gt_answer_details": "", "filename": "a.png", "image": PICTURE,
}  # fmt: skip
MATHVISION = {
    "id": "4", "question": "How many? <image1>", "options": [], "image": "images/4.jpg",
    "decoded_image": PICTURE, "answer": "$11 $", "solution": None, "level": 2,
    "subject": "counting",
}  # fmt: skip
ROWS: dict[str, dict[str, Any]] = {
    "geometry3k": GEOMETRY3K, "mathverse": MATHVERSE, "mathvista": MATHVISTA, "mmk12": MMK12,
    "r1_onevision_bench": ONEVISION, "hallusion_bench": HALLUSION, "mathvision": MATHVISION,
    "math12k": {"problem": "What is $1+1$?", "answer": "2"},
}  # fmt: skip
STORED = {
    "geometry3k": "test", "mathverse": "testmini", "mathvista": "testmini", "mmk12": "test",
    "r1_onevision_bench": "train", "hallusion_bench": "image", "mathvision": "test",
    "math12k": "test",
}  # fmt: skip
Load = Callable[..., ProblemEnv]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """The environment over raw rows stored as the real set stores them."""

    def made(name: str, *rows: dict[str, Any], **options: Any) -> ProblemEnv:
        pq.write_table(pa.Table.from_pylist(list(rows)), tmp_path / f"{STORED[name]}.parquet")
        chosen = {"split": "test", "data": str(tmp_path), **options}
        return environments.make(name, **chosen)

    return made


def pays(env: ProblemEnv, *answers: str) -> list[float]:
    return [graded.reward for graded in env.grade([0] * len(answers), map_boxed(answers))]


def map_boxed(answers: tuple[str, ...]) -> list[str]:
    return [gold_response(answer) for answer in answers]


@pytest.mark.parametrize("name", ROWS)
def test_drawn_rows_fill_every_format_and_their_golds_pay(name: str) -> None:
    env = environments.make(name, split="test", limit=30)
    golds = [gold_response(problem.answer) for problem in env.problems]
    assert [g.reward for g in env.grade(range(30), golds)] == [1.0] * 30
    assert len({problem.key for problem in env.problems}) == 30
    check_env(env, skip_render_check=True)


@pytest.mark.parametrize("name", ROWS)
def test_a_raw_row_of_the_real_set_is_read_from_its_own_split(name: str, load: Load) -> None:
    env = load(name, ROWS[name])
    assert len(env.problems) == 1
    assert len(env.problems[0].images) == (0 if name == "math12k" else 1)


def test_geometry3k_pays_the_value_and_not_the_letter_that_is_not_shown(load: Load) -> None:
    assert pays(load("geometry3k", GEOMETRY3K), r"\sqrt{45}", "B", "6") == [1, 0, 0]


def test_mathverse_poses_query_cot_and_takes_a_letter_or_its_value(load: Load) -> None:
    env = load("mathverse", MATHVERSE, instruction="none")
    assert env.problems[0].prompt == "<image>Reason first. Find x.\nA:145\nB:125"
    assert pays(env, "A", "145", "B", "A or B") == [1, 1, 0, 0]
    assert env.problems[0].tags["problem_version"] == "Text Dominant"


def test_mathverse_golds_of_several_letters_are_sets(load: Load) -> None:
    env = load("mathverse", {**MATHVERSE, "answer": "C\nD"})
    assert pays(env, "C, D", "D and C", "C", "C, D, A", "B, D") == [1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"Area $=9 \pi \mathrm{cm}^{2}$", r"9\pi"), ("62\u00c2\u00b0", "62"), ("5", "5.0"),
        (r"\frac{\sqrt{30}}{2}", r"\sqrt{7.5}"),
    ],
)  # fmt: skip
def test_mathverse_free_form_golds_are_cleaned(gold: str, answer: str, load: Load) -> None:
    row = {**MATHVERSE, "answer": gold, "question_type": "free-form", "question_for_eval": "x?"}
    assert pays(load("mathverse", row), answer) == [1]


def test_mathverse_vision_only_has_its_question_in_the_picture(load: Load) -> None:
    row = {**MATHVERSE, "query_cot": "", "question": "", "problem_version": "Vision Only"}
    assert load("mathverse", row, instruction="none").problems[0].prompt.startswith("<image>Answer")


def test_mathvista_golds_are_option_texts_even_if_they_look_like_letters(load: Load) -> None:
    env = load("mathvista", MATHVISTA)
    assert env.problems[0].answer == "B"  # by place: the option text B is the second
    shuffled = {**MATHVISTA, "choices": ["B", "C", "A"]}
    assert load("mathvista", shuffled).problems[0].answer == "A"
    with pytest.raises(UserError, match=r"row 0: the answer 'E' is not one of the options"):
        load("mathvista", {**MATHVISTA, "answer": "E"})


def test_mathvista_floats_are_rounded_to_their_precision_and_integers_are_not(load: Load) -> None:
    row = {**MATHVISTA, "choices": None, "answer": "1.2", "precision": 1.0, "answer_type": "float"}
    assert pays(load("mathvista", row), "1.2", "1.21", "1.16", "1.3", "1.26") == [1, 1, 1, 0, 0]
    whole = {**row, "answer": "5", "precision": None, "answer_type": "integer"}
    assert pays(load("mathvista", whole), "5.0", "5.1") == [1, 0]


def test_mmk12_reads_the_options_out_of_the_question(load: Load) -> None:
    env = load("mmk12", MMK12)
    assert env.problems[0].choices == ("5 cm", "6 cm", "7 cm")
    assert pays(env, "B", "6", "5", "A") == [1, 1, 0, 0]
    open_row = {"id": "t", "question": "x?", "answer": r"\frac12", "subject": "math", "image": None}
    assert load("mmk12", open_row).problems[0].images == ()


def test_r1_onevision_poses_what_follows_the_last_question_and_decodes_text(load: Load) -> None:
    env = load("r1_onevision_bench", ONEVISION, instruction="none")
    assert env.problems[0].prompt == "<image>Which?\nA. 5\nB. 6"
    assert pays(env, "B", "6", "A") == [1, 1, 0]
    with pytest.raises(UserError, match="row 0: its image is not base64 text"):
        load("r1_onevision_bench", {**ONEVISION, "image": "%%%"})


def test_mathvision_golds_and_tags_are_read_as_they_were_meant(load: Load) -> None:
    assert pays(load("mathvision", MATHVISION), "11", "12") == [1, 0]
    for gold in ("\x0crac{1}{2}", r"\boxed{\frac12}"):
        assert pays(load("mathvision", {**MATHVISION, "answer": gold}), "0.5") == [1]
    several = {**MATHVISION, "question": "<image1> and <image2>?"}
    assert load("mathvision", several).problems[0].prompt.startswith("<image> and ?")
    letters = {**MATHVISION, "options": ["5", "6"], "answer": "B"}
    assert pays(load("mathvision", letters), "B", "6", "5") == [1, 1, 0]


# ---- HallusionBench ----


def test_hallusion_asks_in_mssrs_words_and_leaves_out_rows_without_picture(load: Load) -> None:
    env = load("hallusion_bench", HALLUSION, {**HALLUSION, "image": None}, instruction="none")
    assert [p.prompt for p in env.problems] == [
        "<image>Is it so? You final answer can only be yes or no."
    ]
    assert pays(env, "yes", "Yes.", "no", "yes and no", "not yes") == [1, 1, 0, 0, 0]


def test_the_released_rule_pays_no_for_a_response_without_a_box(load: Load) -> None:
    row = {**HALLUSION, "gt_answer": "0"}
    said = ["I cannot tell", r"\boxed{No}", r"\boxed{not sure}", r"\boxed{yes}"]
    released = load("hallusion_bench", row, compat="mssr").grade([0] * 4, said)
    strict = load("hallusion_bench", row).grade([0] * 4, said)
    assert [g.reward for g in released] == [1, 1, 1, 0]
    assert [g.reward for g in strict] == [0, 0, 0, 0]
    with pytest.raises(UserError, match="compat=loose: choose from strict, mssr"):
        load("hallusion_bench", row, compat="loose")


def test_the_three_figures_by_hand() -> None:
    """Two figures of one set, two questions asked of both, and a set with a single question."""
    places = [("0", "1", "0"), ("0", "1", "1"), ("0", "2", "0"), ("0", "2", "1"), ("1", "1", "0")]
    problems = [
        Problem(
            key=str(i), prompt="?", answer="no", tags={"category": "VD"},
            extras={"subcategory": "map", "set_id": s, "figure_id": f, "question_id": q},
        )
        for i, (s, f, q) in enumerate(places)
    ]  # fmt: skip
    found = hallusion.metrics(problems, [1, 1, 1, 0, 1])
    assert found == {"aAcc": 4 / 5, "fAcc": 2 / 3, "qAcc": 2 / 3}


def test_drawn_pairs_are_balanced_and_ask_both_pictures_the_same() -> None:
    env = environments.make("hallusion_bench", split="test", limit=80)
    answers = [problem.answer for problem in env.problems]
    assert answers.count("yes") == answers.count("no") == 40
    always_no = hallusion.metrics(env.problems, [int(a == "no") for a in answers])
    assert always_no == {"aAcc": 0.5, "fAcc": 0.0, "qAcc": 0.0}


# ---- places and splits ----


def test_a_benchmark_has_no_train_split() -> None:
    for name in ("mathverse", "mathvista", "hallusion_bench", "r1_onevision_bench"):
        with pytest.raises(UserError, match=f"{name} has no train split, it is a benchmark"):
            environments.make(name, split="train")


def test_a_row_without_a_column_of_the_format_is_named(load: Load) -> None:
    row = {k: v for k, v in MATHVISTA.items() if k != "question"}
    with pytest.raises(UserError, match=r"parquet row 0 has no column 'question', which mathvista"):
        load("mathvista", row)


def test_one_folder_may_hold_a_folder_for_each_environment(tmp_path: Path) -> None:
    for name in ("mmk12", "math12k"):
        (tmp_path / name).mkdir()
        row = {k: v for k, v in ROWS[name].items() if k != "image"}
        (tmp_path / name / "test.jsonl").write_text(json.dumps(row))
        assert len(environments.make(name, split="test", data=str(tmp_path)).problems) == 1


def test_tab_separated_files_with_base64_pictures_are_read(tmp_path: Path) -> None:
    with (tmp_path / "train.tsv").open("w", newline="") as out:
        writer = csv.DictWriter(out, ONEVISION, delimiter="\t")
        writer.writeheader()
        writer.writerow({**ONEVISION, "choices": ""})
    env = environments.make("r1_onevision_bench", split="test", data=str(tmp_path / "train.tsv"))
    assert env.problems[0].images == (PNG,)


def test_a_folder_without_the_split_and_a_hub_out_of_reach_say_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no file for test: name one testmini\.parquet"):
        environments.make("mathvista", split="test", data=str(tmp_path))
    with pytest.raises(UserError, match="cannot be loaded"):
        environments.make("mathvista", split="test", data="real")


def test_blind_pictures_are_grey_and_as_large(load: Load) -> None:
    env = load("geometry3k", GEOMETRY3K, blind=True)
    picture = env.reset(options={"index": 0})[0]["images"][0]
    assert picture.size == (2, 2)
    assert picture.getcolors() == [(4, (128, 128, 128))]


@pytest.mark.skipif(not REAL_MINI.is_dir(), reason="needs ../shared/real_mini")
def test_real_competition_problems_load_and_their_golds_pay() -> None:
    for split, count in (("train", 80), ("test", 40)):
        env = environments.make("vision_r1", split=split, data=str(REAL_MINI))
        golds = [gold_response(problem.answer) for problem in env.problems]
        assert [g.reward for g in env.grade(range(count), golds)] == [1.0] * count
