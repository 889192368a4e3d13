"""Models of the hub: through its own client, against a stand-in that serves one model here."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.config.compose import load
from mssr_rl.errors import UserError
from mssr_rl.models import TINY

pytestmark = pytest.mark.slow  # every case has a process of its own

NEW, OLD = "a" * 40, "b" * 40  # commits; `main` is the newer one
COMMITS = {"main": NEW, "v1": OLD, NEW: NEW, OLD: OLD}
MODEL = "owner/model"
TOKEN = "hf_of_somebody"
SECRET = {"owner/gated": "GatedRepo", "owner/private": "RepoNotFound"}
FILES = ("config.json", "generation_config.json", "modeling_own.py")


class Hub(BaseHTTPRequestHandler):
    """What the hub's client asks for: a list of files, then each of them."""

    asked: list[str]

    def content(self, name: str, commit: str) -> bytes:
        if name.endswith(".py"):
            return b"raise SystemExit"
        found = json.loads((TINY / name).read_text())
        return json.dumps(found | {"_commit": commit[:4]}).encode()

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        type(self).asked.append(self.path)
        if parts[:2] == ["api", "models"]:
            repo, revision = "/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main"
            self._answer(repo, revision, None)
        else:
            self._answer("/".join(parts[:2]), parts[3], parts[4])

    do_HEAD = do_GET

    def _answer(self, repo: str, revision: str, name: str | None) -> None:
        if repo in SECRET and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(403 if SECRET[repo] == "GatedRepo" else 401, SECRET[repo])
        if repo != MODEL and repo not in SECRET:
            return self._send(404, "RepoNotFound")
        if revision not in COMMITS:
            return self._send(404, "RevisionNotFound")
        commit = COMMITS[revision]
        if name is None:
            sizes = {file: len(self.content(file, commit)) for file in FILES}
            tree = [{"type": "file", "path": f, "size": n, "oid": f} for f, n in sizes.items()]
            told = {"id": repo, "sha": commit, "siblings": [{"rfilename": f} for f in FILES]}
            asked = tree if "/tree/" in self.path else told
            return self._send(200, body=json.dumps(asked).encode())
        return self._send(200, body=self.content(name, commit), commit=commit)

    def _send(self, code: int, error: str = "", body: bytes = b"", commit: str = "") -> None:
        self.send_response(code)
        if error:
            self.send_header("X-Error-Code", error)
        if commit:
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{commit}{len(body)}"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a process that takes the stand-in for the hub."""
    handler = type("Handler", (Hub,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    unset = ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HOME", "HF_ENDPOINT")
    plain = {name: value for name, value in os.environ.items() if name not in unset}
    yield plain | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    server.shutdown()
    server.server_close()


SHOW = """
import sys
from mssr_rl.errors import UserError
from mssr_rl.models.vetting import cached_folder, local_folder
try:
    folder = local_folder(sys.argv[1])
except UserError as error:
    print(error)
else:
    assert cached_folder(sys.argv[1]) == folder
    print(folder.name, *sorted(path.name for path in folder.iterdir()))
"""


def shown(hub: dict[str, str], source: str, **more: str) -> str:
    """What is said of a model, by a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW, source],
        env=hub | more,
        cwd=hub["HF_HOME"].removesuffix("/hub"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_revision_pins_and_no_python_is_fetched(hub: dict[str, str]) -> None:
    data = " ".join(FILES[:2])
    assert shown(hub, MODEL) == f"{NEW} {data}"
    for revision in ("v1", OLD):
        assert shown(hub, f"{MODEL}@{revision}") == f"{OLD} {data}"


def test_what_is_pinned_and_in_the_cache_needs_no_hub(hub: dict[str, str]) -> None:
    first = shown(hub, f"{MODEL}@{OLD}")
    assert shown(hub, f"{MODEL}@{OLD}", HF_HUB_OFFLINE="1") == first


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("owner/gated", "it is gated: accept its terms on the hub, then set HF_TOKEN"),
        ("owner/private", "it has none, or a private one: set HF_TOKEN"),
        ("owner/nothing", "it has none, or a private one: set HF_TOKEN"),
        (f"{MODEL}@v9", "it has the model, but not the revision of model.revision"),
    ],
)
def test_why_a_model_cannot_be_had_is_said_with_what_helps(
    hub: dict[str, str], source: str, says: str
) -> None:
    told = shown(hub, source)
    assert f"model.path={source} could not be loaded" in told
    assert says in told


@pytest.mark.parametrize("source", list(SECRET))
def test_a_token_opens_what_is_gated_or_private(hub: dict[str, str], source: str) -> None:
    assert shown(hub, source, HF_TOKEN=TOKEN).startswith(NEW)


@pytest.mark.parametrize("path", ["tiny", "{tmp_path}"])
def test_a_folder_has_no_revision(path: str, tmp_path: Path) -> None:
    words = [f"model.path={path.format(tmp_path=tmp_path)}", "model.revision=v1"]
    with pytest.raises(UserError, match=r"model\.revision=v1 pins a model of the hub"):
        load(words)


def test_the_revision_goes_with_the_id() -> None:
    config = load([f"model.path={MODEL}", "model.revision=v1"])
    assert config.model.source == f"{MODEL}@v1"
    assert load([f"model.path={MODEL}"]).model.source == MODEL
