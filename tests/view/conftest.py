"""Run folders and the browser of tests/report, and a real server of `view` in this process."""

import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import uvicorn

from mssr_rl.view.app import application
from mssr_rl.view.view_verb import address_of, bound_socket


def _conftest(folder: str) -> ModuleType:
    path = Path(__file__).parents[1] / folder / "conftest.py"
    spec = spec_from_file_location(f"{folder}_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_reports, _comparisons = _conftest("report"), _conftest("comparison")
browser = _reports.browser  # the fixtures
make_run = _reports.make_run
make_comparison = _comparisons.make_comparison
metrics_row, sample = _reports.metrics_row, _reports.sample


class Answer(NamedTuple):
    status: int
    text: str
    headers: dict[str, str]


class Client:
    """Asks the server as any program would."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        request = urllib.request.Request(self.address + path, headers=named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as said:
                return Answer(said.status, said.read().decode("utf-8", "replace"), _lower(said))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode("utf-8", "replace"), _lower(error))


def _lower(said: object) -> dict[str, str]:
    return {key.lower(): value for key, value in said.headers.items()}  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., Client]]:
    """Return a function that serves folders on a free port until the tests end."""
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(*roots: Path) -> Client:
        listening = bound_socket(None)
        config = uvicorn.Config(application(roots), log_level="error", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return Client(address_of(listening))

    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join(10)
