"""Starts the server of `view`: on the loopback address only, until Ctrl-C."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from mssr_rl.config.words import parse_words
from mssr_rl.errors import UserError
from mssr_rl.outward import plain
from mssr_rl.typed import Bound, option

if TYPE_CHECKING:
    import uvicorn

LOOPBACK = "127.0.0.1"
FIRST, TRIED = 8400, 20  # the ports that are tried when none is given
PORT = Bound("between 1 and 65535", 1, 65535)


@dataclass(frozen=True, kw_only=True)
class ViewWords:
    """The arguments of `view`."""

    runs_dir: tuple[str, ...] = option("folders with runs", ("runs", "comparisons"))
    port: int | None = option(f"the port; null: the first free one from {FIRST} on", None, PORT)
    until_input_ends: bool = option("stop when standard input ends; train view=true uses it", False)


def serve(arguments: Sequence[str]) -> int:
    """Serve the pages until Ctrl-C; return 0."""
    import uvicorn

    from mssr_rl.view.app import application

    options = parse_words(ViewWords, arguments)
    roots = [Path(name) for name in options.runs_dir]
    there = [root for root in roots if root.is_dir()]
    if not there:
        named = " or ".join(options.runs_dir)
        raise UserError(f"there is no folder {named} here; train a run first, or give runs_dir=")
    listening = bound_socket(options.port)
    server = uvicorn.Server(
        uvicorn.Config(
            application(there),
            log_level="error",
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )
    if options.until_input_ends:
        threading.Thread(target=_stop_at_end_of_input, args=[server], daemon=True).start()
    end = "it ends with the run" if options.until_input_ends else "Ctrl-C ends it"
    _say(f"view    {address_of(listening)} shows {', '.join(map(str, there))}; {end}")
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    return 0


def bound_socket(port: int | None) -> socket.socket:
    """Return a socket on the loopback address. Raise `UserError` if the port is in use."""
    for candidate in [port] if port else [*range(FIRST, FIRST + TRIED), 0]:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((LOOPBACK, candidate))
            listening.listen(128)
        except OSError as error:
            listening.close()
            reason = error.strerror or str(error)
        else:
            return listening
    raise UserError(f"port={port} cannot be used ({reason}); choose another port=, or leave it out")


def address_of(listening: socket.socket) -> str:
    """Return the address of the page."""
    return f"http://{LOOPBACK}:{listening.getsockname()[1]}/"


@contextmanager
def beside(runs_dir: str) -> Iterator[None]:
    """Serve a run's folder in another process while the block runs, and print the address.

    A page that shows this folder already is used again.
    """
    Path(runs_dir).mkdir(parents=True, exist_ok=True)
    if (port := serving(Path(runs_dir))) is not None:
        _say(f"view    http://{LOOPBACK}:{port}/ shows {runs_dir} already")
        yield
        return
    command = [sys.executable, "-m", "mssr_rl", "view", f"runs_dir=[{json.dumps(runs_dir)}]"]
    # A session of its own: Ctrl-C must reach the run only, which then saves a checkpoint.
    server = subprocess.Popen(
        [*command, "until_input_ends=true"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        assert server.stdin is not None
        server.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)
        _say("view    ended with the run; python -m mssr_rl view shows it again")


def serving(folder: Path) -> int | None:
    """Return the port of a page of this machine that shows `folder`; None if there is none."""
    for port in range(FIRST, FIRST + TRIED):
        with suppress(OSError, HTTPException, ValueError):
            with closing(HTTPConnection(LOOPBACK, port, timeout=0.5)) as connection:
                connection.request("GET", "/about.json")
                shown = json.loads(connection.getresponse().read(100_000))
            if os.fspath(folder.resolve()) in shown["folders"]:
                return port
    return None


def _stop_at_end_of_input(server: "uvicorn.Server") -> None:
    sys.stdin.buffer.read()
    server.should_exit = True


def _say(text: str) -> None:
    sys.stderr.write(f"{plain(text)}\n")
    sys.stderr.flush()
