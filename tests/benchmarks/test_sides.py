"""What sides are told, what is refused of their answers, and what is made of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import rollouts, step, workloads
from benchmarks.peers import Side
from mssr_rl.errors import RunFailed


class Answered(Side):
    """A side without a process."""

    def __init__(self, name: str, **record: Any) -> None:
        cost = {"seconds": 2.0, "cpu_seconds": 1.0, "others": 0.0, "peak_rss_mib": 700.0}
        usual = {"samples": 256, "updates": 4, "tokens": 20.0}
        self.name, self.records = name, [{**cost, **usual, **record}]


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"updates": 3}, "TRL grpo made 3 updates of 256 samples, not 4 of 256"),
        ({"samples": 64}, "TRL grpo made 4 updates of 64 samples, not 4 of 256"),
        ({"pictures": 0}, "TRL grpo's model saw 0 pictures in a step of 256 samples"),
    ],
)
def test_a_side_that_did_less_has_no_speed(record: dict[str, int], says: str) -> None:
    with pytest.raises(RunFailed, match=says):
        step._speed(Answered("TRL grpo", **record), "natural", 1)


def test_a_speed_is_samples_over_seconds() -> None:
    speed = step._speed(Answered("ours mssr", pictures=256), "natural", 1)
    assert (speed.side, speed.arm) == ("ours", "mssr")
    assert (speed.samples_per_second, speed.samples_per_cpu_second) == (128, 256)


def test_the_table_holds_ours_against_theirs_and_single_rollouts_against_groups() -> None:
    sides = [
        Answered("ours grpo", seconds=1.0, cpu_seconds=1.0),
        Answered("TRL grpo", seconds=4.0, cpu_seconds=8.0, peak_rss_mib=1400.0),
        Answered("ours mssr", seconds=2.0, cpu_seconds=3.0, others=1.0),
    ]
    shown = step._text([step._speed(side, "natural", 1) for side in sides])
    grpo = next(line for line in shown.splitlines() if line.startswith("| grpo"))
    assert [cell.strip() for cell in grpo.strip("|").split("|")] == [
        "grpo", "256", "64.0", "4.00", "256", "32.0", "8.00", "700", "1,400", "0.500",
    ]  # fmt: skip
    assert "costs 2.00 times the wall time (3.00 times the processor time)" in shown
    assert "other processes were at work: ours mssr (1 thread)." in shown


def test_every_arm_is_given_a_step_of_its_kind_and_one_rival_is_started_once() -> None:
    natural = step.Lengths("natural", "tiny", 64)
    calls = list(step._calls(["grpo", "rloo", "mssr", "mvsr"], natural, 2, Path("theirs")))
    assert [call.name for call in calls] == [
        "ours grpo", "TRL grpo", "ours rloo", "TRL rloo", "ours mssr", "ours mvsr",
    ]  # fmt: skip
    for call in calls:
        if not call.module.endswith("ours_step"):
            assert call.python == "theirs"
            continue
        config = workloads.laptop(*call.options["words"])
        single = call.name.split()[1] in step.SINGLE
        assert config.rollout.group_size == (1 if single else 8)
        assert config.train.rollouts_per_step == 256
        assert config.algo.options["kl_coef"] == workloads.KL
        assert config.engine.threads == 2


def test_a_text_model_is_asked_text_on_both_sides(tmp_path: Path) -> None:
    (setting,) = step._of_text(tmp_path)
    ours, theirs = step._calls(["grpo"], setting, 1, Path("theirs"))
    config = workloads.laptop(*ours.options["words"], env=ours.options["env"])
    assert config.env.name == theirs.options["env"] == workloads.TEXT_ENV
    assert config.model.path == theirs.options["model"] == str(tmp_path)


def test_a_model_that_cannot_end_has_its_end_tokens_among_the_banned(tmp_path: Path) -> None:
    folder = workloads.endless(tmp_path / "endless")
    settings = json.loads((tmp_path / "endless" / "generation_config.json").read_text("utf-8"))
    assert set(settings["eos_token_id"]) <= set(workloads.banned(folder))
    assert not set(settings["eos_token_id"]) & set(workloads.banned("tiny"))


def test_turns_pose_problems_in_order_and_begin_again() -> None:
    keys = [problem.key for turn in range(3) for problem in workloads.posed(turn, 1024)]
    assert len(set(keys[:2048])) == 2048
    assert keys[2048:] == keys[:1024]


def test_the_recorded_ratios_are_ours_over_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = rollouts.SHAPES[1]
    record = {"tokens": 5000}
    sides = [
        Answered("ours", cpu_seconds=1.0, **record),
        Answered("transformers", cpu_seconds=4.0, **record),
    ]
    found = rollouts.ratios([rollouts._speed(side, shape, 1) for side in sides])
    assert found == {"32x8": 4.0}
    monkeypatch.setattr(rollouts, "RECORDED", tmp_path / "recorded.json")
    rollouts.RECORDED.write_text('{"256x1": 2.5, "32x8": 9.0}', "utf-8")
    rollouts.record(found)
    assert rollouts.recorded() == {"256x1": 2.5, "32x8": 4.0}


@pytest.mark.slow
def test_sampling_keeps_its_lead_over_generate() -> None:
    """By processor seconds of one thread, taken in turns: a busy machine slows both."""
    shape = rollouts.SHAPES[0]
    before = rollouts.recorded().get(shape.name)
    if before is None:
        pytest.skip("no ratio is recorded: python -m benchmarks rollouts --record")
    speeds = rollouts.speeds_of(["ours", "transformers"], shape, threads=1, batches=2)
    assert rollouts.ratios(speeds)[shape.name] >= 0.7 * before
