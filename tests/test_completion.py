"""Completion in a real bash: the script is loaded, a line is typed, the answers are read."""

import subprocess
from pathlib import Path

import pytest

from mssr_rl import completion
from mssr_rl.algos import algorithms
from mssr_rl.config.keys import choices, fixed_kinds
from mssr_rl.envs import environments
from mssr_rl.verbs import VERBS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "mssr_rl.bash"
    path.write_text(completion.print_script(["bash"]))
    return path


def answers(script: Path, line: str, breaks: str = " \t\n\"'><=;|&(:") -> list[str]:
    """What bash would offer after `line`; `breaks` are the signs that end a word for it."""
    program = (
        'source "$1"; COMP_LINE="$2"; COMP_POINT=${#COMP_LINE}; COMP_WORDBREAKS="$3"; '
        '_mssr_rl; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    command = ["bash", "--norc", "-c", program, "bash", str(script), line, breaks]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=script.parent)
    assert done.stderr == ""
    return [answer for answer in done.stdout.split("\n") if answer]


def test_verbs_are_offered_first(script: Path) -> None:
    assert set(answers(script, "mssr_rl ")) == {*VERBS, "--help", "--version"}
    assert answers(script, "mssr_rl com") == ["compare", "completion"]


def test_a_verb_offers_its_own_words(script: Path) -> None:
    assert answers(script, "mssr_rl train budget.roll") == ["budget.rollouts="]
    assert answers(script, "mssr_rl train algo.gam") == ["algo.gamma="]
    assert answers(script, "mssr_rl train --pl") == ["--plan"]
    assert "seeds=" in answers(script, "mssr_rl compare algo=grpo see")
    assert answers(script, "mssr_rl completion z") == ["zsh"]


def test_every_key_of_a_run_is_offered_to_train(script: Path) -> None:
    offered = set(answers(script, "mssr_rl train "))
    assert {f"{key}=" for key in fixed_kinds()} <= offered


def test_values_are_those_that_the_key_takes(script: Path) -> None:
    assert set(answers(script, "mssr_rl train algo=")) == set(algorithms.names())
    assert set(answers(script, "mssr_rl train env=")) == set(environments.names())
    assert set(answers(script, "mssr_rl train recipe=")) == set(choices("recipe"))
    assert answers(script, "mssr_rl train resume=t") == ["true"]
    assert answers(script, "mssr_rl train engine=op") == ["openrlhf"]


def test_the_next_item_of_a_list_is_completed(script: Path) -> None:
    assert answers(script, "mssr_rl compare algo=grpo,rl") == ["grpo,rloo"]


def test_a_shell_that_does_not_end_words_at_equal_signs_gets_the_whole_word(script: Path) -> None:
    assert answers(script, "mssr_rl train engine=op", breaks=" ") == ["engine=openrlhf"]


def test_files_are_offered_where_nothing_else_is_known(script: Path) -> None:
    assert answers(script, "mssr_rl grade mssr") == ["mssr_rl.bash"]


def test_zsh_gets_the_same_function_behind_its_own_loader() -> None:
    for_bash, for_zsh = (completion.print_script([shell]) for shell in ("bash", "zsh"))
    assert for_zsh == f"autoload -U +X bashcompinit && bashcompinit\n{for_bash}"
