"""What may differ in a run that goes on, and what a start that fails leaves behind."""

from collections.abc import Callable
from dataclasses import replace

from mssr_rl.config import Config
from mssr_rl.run import lifecycle

Configure = Callable[..., Config]


def test_a_run_may_go_on_at_another_cluster(configure: Configure) -> None:
    config = configure("name=run")
    lifecycle.open_log(config).close()
    moved = replace(config.cluster, address="ray://elsewhere:10001")
    again = replace(config, resume=True, cluster=moved)
    lifecycle.open_log(again).close()
