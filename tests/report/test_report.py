"""report: one offline file with what was run, what came out and what it cost, finished or not."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.errors import UserError
from mssr_rl.report import run_page

MAX_SIZE = 3_000_000


def written(folder: Path) -> str:
    return run_page.write(folder).read_text("utf-8")


def words(page: str) -> str:
    """What a reader sees: no markup, no style, single spaces."""
    body = re.sub(r"<(style|script|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).replace("\u00a0", " ").split())


def test_the_report_lies_in_the_run_directory(make_run: Any) -> None:
    folder = make_run()
    assert run_page.write(folder) == folder / "report.html"


def test_the_first_lines_say_what_was_run_and_what_came_out(make_run: Any) -> None:
    text = words(written(make_run()))
    assert "mssr on vision_r1" in text
    assert "model tiny · recipe laptop · seed 0 · finished at step 24 of 24" in text
    assert "greedy accuracy rose from 32.0 % to 56.0 % (95 % interval 42.3 to 68.8)" in text
    assert "one seed cannot show which algorithm is better" in text


def test_what_the_detectors_noticed_stands_below_the_result(make_run: Any) -> None:
    folder = make_run()
    summary = json.loads((folder / "summary.json").read_text())
    event = {
        "event": "grad_spike",
        "level": "warn",
        "step": 7,
        "evidence": "gradient norm <b>9</b>",
        "advice": "look at the batch",
    }
    summary["stability"] = {"verdict": "warned", "events": [event], "worst_dip": 0.0}
    (folder / "summary.json").write_text(json.dumps(summary))
    found = written(folder)
    assert "Training was warned: grad_spike at step 7 (warn): gradient norm" in words(found)
    assert "gradient norm &lt;b&gt;9&lt;/b&gt;; look at the batch" in found


def test_every_part_of_the_story_is_there(make_run: Any) -> None:
    page = written(make_run())
    for title in ("Validation accuracy", "Training reward", "Entropy", "KL to the reference"):
        assert f"<b>{title}</b>" in page
    for title in ("KL of one step", "Response length", "Tracked value"):
        assert f"<b>{title}</b>" in page
    text = words(page)
    for part in ("by family", "clock", "by level", "rollouts 6,144", "charged time 94 s"):
        assert part in text
    for part in ("versions.torch 2.13.0", "git.revision 0123456789abcdef", "Training was stable"):
        assert part in text
    assert "9f8c2b7a" in text


def test_a_rollout_shows_question_reasoning_answer_and_verdict_apart(make_run: Any) -> None:
    card = written(make_run()).partition('<article class="card"')[2].partition("</article>")[0]
    assert '<span class="badge wrong">wrong</span>' in card
    assert 'src="data:image/png;base64,' in card
    text = words(card)
    assert "What is the sum of the dots on the dice?" in text
    assert "Reasoning 3 and 4 make 7. Answer It is \\boxed{6}." in text
    assert "read as 6 gold answer 7 reward 0" in text


def test_the_page_fetches_nothing(make_run: Any) -> None:
    page = written(make_run())
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src &#39;none&#39;" in page


def test_the_same_run_gives_the_same_page(make_run: Any) -> None:
    folder = make_run()
    assert written(folder) == written(folder)


def test_a_long_run_with_many_samples_stays_small(make_run: Any) -> None:
    folder = make_run(steps=2_000)
    assert run_page.write(folder).stat().st_size < MAX_SIZE


def test_a_run_that_has_only_begun_has_a_report(make_run: Any) -> None:
    folder = make_run()
    for name in ("metrics.jsonl", "eval.jsonl", "samples.jsonl", "summary.json"):
        (folder / name).unlink()
    (folder / "run.json").write_text('{"status": "running", "steps": 24}')
    text = words(written(folder))
    assert "unfinished: still running, or stopped without a message, at step 0 of 24" in text
    assert "Not evaluated yet." in text
    assert "No step has been recorded yet." in text
    assert "No rollout has been recorded yet." in text


def test_a_run_that_was_killed_in_the_middle_has_a_report(make_run: Any) -> None:
    folder = make_run()
    (folder / "summary.json").unlink()
    (folder / "run.json").write_text('{"status": "running", "steps": 120}')
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 25, "reward/me')
    text = words(written(folder))
    assert "stopped without a message, at step 24 of 120" in text
    assert "1 line of metrics.jsonl could not be read and is left out." in text
    assert "rollouts 6,144" in text


def test_a_run_before_its_first_step_shows_where_it_starts(make_run: Any) -> None:
    folder = make_run()
    (folder / "metrics.jsonl").write_text("")
    first = (folder / "eval.jsonl").read_text().splitlines()[0]
    (folder / "eval.jsonl").write_text(first + "\n")
    assert "greedy accuracy is 32.0 %" in words(written(folder))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run directory"):
        run_page.write(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_everything_a_model_or_a_file_said_is_escaped(make_run: Any) -> None:
    evil = "</script><script>window.hacked=1</script><img src=x onerror=alert(1)>{{ 7*7 }}"
    folder = make_run(samples=[hostile(evil)])
    (folder / "config.yaml").write_text(f"algo: {{name: {json.dumps(evil)}}}\n")
    row = {"step": 25, "reward/mean": 0.5, f"mine/{evil}": 1.0}
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    page = written(folder)
    assert page.count("<script>") == 1
    assert "<img src=x" not in page
    assert "49" not in page.partition("onerror")[2].partition("7*7")[0]


@pytest.mark.parametrize(
    "text", ["\ud800\udfff", "\x00\x1b[2J\x07", "\u202e\u2066abc", "a\u0301" * 999]
)
def test_text_that_cannot_be_seen_or_encoded_does_no_harm(make_run: Any, text: str) -> None:
    page = written(make_run(samples=[hostile(text)]))
    for char in "\x00\x1b\x07\u202e\u2066":
        assert char not in page


def test_a_response_of_a_megabyte_is_cut_and_said_to_be(make_run: Any) -> None:
    page = written(make_run(samples=[hostile("x" * 1_000_000)]))
    assert "… 998,000 more characters are in samples.jsonl" in page
    assert len(page) < MAX_SIZE


def hostile(text: str) -> dict[str, Any]:
    """A rollout in which everything that can be text is `text`."""
    fields = ("split", "key", "prompt", "answer", "extracted", "reason", "response", "image")
    return {"step": 24, "reward": 0.0, "tags": {text: text}, **dict.fromkeys(fields, text)}
