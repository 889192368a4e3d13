"""The table of OpenRLHF's options, held against the installed OpenRLHF; what needs no cluster."""

import argparse
import ast
import importlib.util
from pathlib import Path

import pytest

from mssr_rl.engine.openrlhf import arguments


@pytest.fixture(scope="module")
def known() -> argparse.Namespace:
    """Every option of the installed version with its default, from its own parser.

    OpenRLHF makes the parser under `__main__`: those statements, up to where it reads arguments.
    """
    spec = importlib.util.find_spec("openrlhf")
    if spec is None or spec.origin is None:
        pytest.skip("the cluster stage is not installed")
    source = (Path(spec.origin).parent / "cli" / "train_ppo_ray.py").read_text()
    (main,) = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    end = next(i for i, node in enumerate(main.body) if "parse_args" in ast.dump(node))
    scope: dict = {
        "argparse": argparse,
        "os": __import__("os"),
        "datetime": __import__("datetime").datetime,
    }
    exec(compile(ast.Module(main.body[:end], []), "train_ppo_ray.py", "exec"), scope)
    return scope["parser"].parse_args([])


def test_every_option_that_is_set_exists_in_the_installed_version(settings, known) -> None:
    unknown = set(arguments.table(settings())) - set(vars(known))
    assert unknown == set()


def test_an_option_that_openrlhf_does_not_have_would_be_found(known) -> None:
    assert "ds.zero_stages" not in vars(known)
    assert "ds.zero_stage" in vars(known)


def test_what_is_never_used_keeps_openrlhfs_own_kind(settings, known) -> None:
    wrong = {
        name: (value, vars(known)[name])
        for name, value in arguments.table(settings()).items()
        if isinstance(vars(known)[name], bool) != isinstance(value, bool)
    }
    assert wrong == {}


def test_the_table_follows_the_config(settings) -> None:
    table = arguments.table(
        settings("train.lr=2e-5", "cluster.zero_stage=3", "engine.dtype=bfloat16", "seed=7")
    )
    assert table["actor.adam.lr"] == 2e-5
    assert table["ds.zero_stage"] == 3
    assert table["ds.param_dtype"] == "bf16"
    assert table["train.batch_size"] == 8
    assert table["train.micro_batch_size"] == 4
    assert table["train.seed"] == 7


def test_the_namespace_is_nested_as_openrlhf_reads_it(settings) -> None:
    args = arguments.namespace(settings())
    assert args.actor.adam.betas == [0.9, 0.999]
    assert args.vllm.sync_backend == "gloo"
    assert args.local_rank == -1
