"""Ray as a run starts it: reachable from this machine only."""

from collections.abc import Iterator
from typing import NamedTuple

import psutil
import pytest

pytestmark = pytest.mark.cluster

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


class Listening(NamedTuple):
    """A socket that waits for others to connect."""

    process: str
    ip: str


def listening() -> Iterator[Listening]:
    """Those of Ray's own processes and of this one; torch opens its own in those that train."""
    family = psutil.Process().children(recursive=True)
    own = [
        p
        for p in family
        if p.name().startswith(("raylet", "gcs_server", "ray::Dash", "ray::Runtime"))
    ]
    for process in (psutil.Process(), *own):
        for one in process.net_connections("inet"):
            if one.status == psutil.CONN_LISTEN:
                yield Listening(process.name(), one.laddr.ip)


@pytest.mark.usefixtures("ray_session")
def test_ray_listens_on_loopback_only() -> None:
    found = list(listening())
    assert {"gcs_server", "raylet"} <= {one.process for one in found}
    assert [one for one in found if one.ip not in LOOPBACK] == []
