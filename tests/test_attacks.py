"""Attacks: what a checkpoint, a data set, a config, a model folder or a model's answer might try.

SECURITY.md says what is trusted and what is not; every threat it names has its test here.
"""

import json
import os
import pickle
import shutil
import socket
import struct
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mssr_rl import cli
from mssr_rl.config import Config, compose
from mssr_rl.data import reader
from mssr_rl.engine.base import Engine, Rollouts
from mssr_rl.envs import environments
from mssr_rl.errors import UserError
from mssr_rl.grading.verify import verify
from mssr_rl.models import TINY
from mssr_rl.models.load import load_model, load_processor
from mssr_rl.run import checkpoint, replay, trainer
from mssr_rl.run.verify import verify as verify_run

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that exists only once foreign code has run."""
    return tmp_path / "marker"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every socket that is opened."""
    opened: list[object] = []

    def refuse(*arguments: object, **options: object) -> None:
        opened.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return opened


class Bomb:
    """Unpickled, it leaves the marker."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_the_bomb_goes_off_where_it_is_unpickled(marker: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(marker)))
    assert marker.exists()


# ---- 1. a pickle in a checkpoint or a model folder ----


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_a_model_folder_with_a_pickle_is_refused(tmp_path: Path, marker: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Bomb(marker)}, folder / name)
    with pytest.raises(UserError, match="could not be loaded"):
        load_model(str(folder), "cpu", "float32")
    assert not marker.exists()


def test_a_checkpoint_with_a_pickle_is_not_loaded(
    configure: Configure, make_engine: MakeEngine, marker: Path
) -> None:
    folder = trainer.run(configure("name=run"), make_engine)
    newest = checkpoint.newest_first(folder / "checkpoints")[0]
    bomb = pickle.dumps({"state": Bomb(marker)})
    (newest / "optimiser.safetensors").write_bytes(bomb)
    (newest / "extra.pt").write_bytes(bomb)
    trainer.run(configure("name=run", "resume=true"), make_engine)
    assert not marker.exists()


def test_a_pickle_with_a_manifest_to_match_fails_to_load_and_runs_nothing(
    configure: Configure, make_engine: MakeEngine, marker: Path
) -> None:
    folder = trainer.run(configure("name=run"), make_engine)
    newest = checkpoint.newest_first(folder / "checkpoints")[0]
    (newest / "algorithm.safetensors").write_bytes(pickle.dumps(Bomb(marker)))
    checkpoint._seal(newest)
    assert checkpoint.fault(newest) is None
    with pytest.raises(UserError, match="it was not written by training"):
        trainer.run(configure("name=run", "resume=true"), make_engine)
    assert not marker.exists()


def test_python_files_in_a_model_folder_are_not_run(tmp_path: Path, marker: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\n")
    for name, entry in (
        ("config.json", {"AutoModelForImageTextToText": "evil.Model", "AutoConfig": "evil.C"}),
        ("processor_config.json", {"AutoProcessor": "evil.Processor"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["evil.T", "evil.T"]}),
    ):
        known = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**known, "auto_map": entry}))
    load_model(str(folder), "cpu", "float32")
    load_processor(str(folder))
    assert not marker.exists()


# ---- 2. a decompression bomb; 3. - 5. paths and addresses; 11. links ----


def png(width: int, height: int) -> bytes:
    """A sound header and a few bytes of deflated nothing: small on disk, huge in memory."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def data_with(folder: Path, image: object) -> str:
    """A data set with one row whose picture is `image`."""
    folder.mkdir()
    row = {"id": "r7", "problem": "how many?", "answer": "1", "images": [image]}
    (folder / "train.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "id": "r8"}))
    return str(folder)


def refusal(folder: Path, image: object) -> str:
    with pytest.raises(UserError) as caught:
        reader.load(data_with(folder, image), "train")
    assert "(id r7)" in str(caught.value) or "(id r8)" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("side", [9_000, 13_000, 14_000, 2**31 - 1])
def test_a_decompression_bomb_costs_nothing(tmp_path: Path, side: int) -> None:
    folder = tmp_path / "data"
    tracemalloc.start()
    begun = time.process_time()
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side))
    data_with(folder, "bomb.png")
    path.rename(folder / "bomb.png")
    with pytest.raises(UserError, match="megapixels"):
        reader.load(str(folder), "train")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    assert time.process_time() - begun < 5
    tracemalloc.stop()


ADDRESSES = [
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://127.0.0.1:8265/api/jobs",
    "https://example.org/cat.png",
    "ftp://example.org/cat.png",
    "data:image/png;base64,iVBORw0KGgo=",
]


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_never_fetched(
    tmp_path: Path, no_network: list[object], address: str, wrapped: bool
) -> None:
    image = {"bytes": None, "path": address} if wrapped else address
    assert "pictures are never downloaded" in refusal(tmp_path / "data", image)
    assert no_network == []


@pytest.mark.parametrize(
    "path", ["../../secret.png", "a/../../secret.png", "/etc/passwd", "..", "~/../secret.png/../.."]
)
def test_a_path_out_of_the_data_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.png").write_bytes(png(8, 8))
    said = refusal(tmp_path / "data", path)
    assert "leads out of" in said or "cannot be read" in said or "is no file" in said


def test_a_link_out_of_the_data_folder_is_refused_and_one_in_the_hub_s_cache_is_not(
    tmp_path: Path, counting_data: Path
) -> None:
    outside = tmp_path / "blobs"
    outside.mkdir()
    shutil.copy(counting_data / "dot.png", outside / "0a1b")
    data_with(tmp_path / "data", "link.png")
    (tmp_path / "data" / "link.png").symlink_to(outside / "0a1b")
    with pytest.raises(UserError, match="leads out of"):
        reader.load(str(tmp_path / "data"), "train")
    snapshot = tmp_path / "snapshots" / "revision"
    snapshot.parent.mkdir()
    data_with(snapshot, "link.png")
    (snapshot / "link.png").symlink_to(Path("../../blobs/0a1b"))
    assert len(reader.load(str(snapshot), "train")) == 1


def test_a_pipe_is_not_waited_for_and_a_huge_file_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    data_with(folder, "picture.png")
    os.mkfifo(folder / "picture.png")
    with pytest.raises(UserError, match="is no file"):
        reader.load(str(folder), "train")
    (folder / "picture.png").unlink()
    with (folder / "picture.png").open("wb") as file:
        file.truncate(2**33)  # 8 GiB of nothing
    with pytest.raises(UserError, match="8192 MiB is larger than 64 MiB"):
        reader.load(str(folder), "train")


# ---- 6. YAML ----


def alias_bomb() -> str:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    for one, other in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{other}: &{other} [{','.join([f'*{one}'] * 10)}]")
    return "\n".join(lines)


YAMLS = {
    "!!python/object/apply:os.system ['touch marker']": "the tag",
    "algo: !!python/name:os.system": "the tag",
    "algo: !mine {name: mssr}": "the tag",
    "algo: {name: mssr}\nseed: ${oc.env:HOME}": "interpolation",
    "algo: {name: mssr, _target_: os.system}": "_target_",
    "seed: &one 1\nbudget: {rollouts: *one}": "anchors",
    alias_bomb(): "anchors",
    "a: " + "[" * 10_000 + "]" * 10_000: "levels deep",
    "a: " + "x" * 10_000_000: "longer than",
    "a: [": "no YAML",
}


@pytest.mark.parametrize("text", YAMLS, ids=list(YAMLS.values()))
def test_a_config_that_training_did_not_write_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(text)
    begun = time.process_time()
    with pytest.raises(UserError, match=f"is refused: .*{YAMLS[text]}"):
        compose.read(tmp_path / "config.yaml")
    assert time.process_time() - begun < 1
    assert not (tmp_path / "marker").exists()


# ---- 7. scripts, 8. escape codes: what a model says is shown, not obeyed ----

PAYLOADS = [
    "<script>document.title='hacked'</script>",
    "<img src=x onerror=alert(1)>",
    "</pre></article><svg/onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<iframe src=https://example.org></iframe>",
    "\x1b[2J\x1b]0;hacked\x07\x1b[31m",
    "\x9b2J\u202e\u2066",
    "{{ 7*7 }}{% raw %}",
]


def saying(make_engine: MakeEngine) -> MakeEngine:
    """An engine whose policy says nothing but payloads."""

    class Hostile:
        def __init__(self, inner: Engine) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def rollout(self, *arguments: Any) -> Rollouts:
            found = self.inner.rollout(*arguments)
            said = (PAYLOADS[i % len(PAYLOADS)] for i in range(len(found.responses)))
            return found._replace(responses=tuple(said))

    return lambda config: Hostile(make_engine(config))  # type: ignore[return-value]


def test_what_a_model_says_is_neither_run_by_a_browser_nor_obeyed_by_a_terminal(
    configure: Configure, make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trainer.run(configure("name=run"), saying(make_engine))
    page = (folder / "report.html").read_text("utf-8")
    assert "document.title=" in page  # it is there, as text
    for mark in ("<script>document", "<img src=x", "<svg/onload", "<iframe", "<a href='java"):
        assert mark not in page
    assert "Content-Security-Policy" in page
    for stream in (page, capsys.readouterr().err, (folder / "samples.jsonl").read_text()):
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2066"} & set(stream)


def test_a_refusal_that_quotes_a_file_does_not_reach_the_terminal_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"id": "\x1b[2Jr\u202e7", "problem": "?", "answer": "", "images": []}
    (tmp_path / "train.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps({**row, 'id': 'b'})}\n")
    code = cli.main(["train", "env=vision_r1", f"env.data={tmp_path}", "--plan"])
    said = capsys.readouterr().err
    assert code == cli.USAGE
    assert "empty answer" in said
    assert not {"\x1b", "\u202e"} & set(said)


# ---- 9. the prompt said again, 10. an answer of a megabyte ----


def test_the_prompt_said_again_pays_nothing() -> None:
    env = environments.make("vision_r1", split="val", data="mini", limit=200, instruction="paper")
    rows = range(len(env.problems))
    for text in ("{}", "<think>{}</think>{}", "<think></think>{}\\boxed{{}}", "{}</think>"):
        said = [text.replace("{}", problem.prompt) for problem in env.problems]
        assert not any(graded.reward for graded in env.grade(rows, said))


def test_a_prompt_that_holds_the_answer_in_a_box_pays_nothing_when_it_is_quoted() -> None:
    prompt = "For example \\boxed{42}. What is 6 * 7?"
    assert not verify(prompt, "42", None).correct
    assert not verify(f"<think>{prompt}</think>", "42", None).correct
    assert not verify(f"{prompt}<think>so</think>", "42", None).correct


@pytest.mark.parametrize(
    "text",
    [
        "<think></think>\\boxed{" + "9" * 1_000_000 + "}",
        "<think></think>" + "\\boxed{" * 140_000,
        "<think></think>\\boxed{" + "{" * 500_000 + "}" * 500_000 + "}",
        "<think>" * 140_000,
        "<think></think>\\boxed{" + "\\frac{1}{" * 100_000 + "}",
    ],
    ids=["digits", "boxes", "braces", "tags", "fractions"],
)
def test_an_answer_of_a_megabyte_is_graded_in_time_and_pays_nothing(text: str) -> None:
    begun = time.process_time()
    assert not verify(text, "42", None).correct
    assert time.process_time() - begun < 1


# ---- 12. a module nobody named, and a secret in a config ----


@pytest.fixture
def evil(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that can be imported and must not be."""
    place = tmp_path / "importable"
    place.mkdir()
    (place / "evil_plugin.py").write_text(f"open({str(marker)!r}, 'w')\n")
    monkeypatch.syspath_prepend(place)
    yield "evil_plugin"
    sys.modules.pop("evil_plugin", None)


def test_a_run_folder_cannot_have_a_module_imported_that_the_user_did_not_name(
    configure: Configure, make_engine: MakeEngine, evil: str, marker: Path
) -> None:
    folder = trainer.run(configure("name=run"), make_engine)
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("plugins: []", f"plugins: [{evil}]"))
    (folder / "faults").mkdir()
    (folder / "faults" / "step_3").mkdir()
    for attempt in (
        lambda: verify_run(folder, make_engine),
        lambda: list(replay.replay(folder, make_engine)),
    ):
        with pytest.raises(UserError, match=r"wants to import evil_plugin.*add plugins=\[evil_plu"):
            attempt()
    assert cli.main(["report", f"run={folder}"]) == cli.DONE
    assert cli.main(["status", f"runs_dir={folder.parent}"]) == cli.DONE
    assert not marker.exists()
    assert "bit for bit" in verify_run(folder, make_engine, [evil])
    assert marker.exists()  # named, it is imported


def test_a_data_set_cannot_have_a_module_imported(
    tmp_path: Path, evil: str, marker: Path, counting_data: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(counting_data, folder)
    for name in ("plugins", "env", "_target_", "__init__", "loading_script"):
        (folder / f"{name}.py").write_text(f"import {evil}\n")
    row = json.loads((folder / "train.jsonl").read_text().splitlines()[0])
    hostile = {**row, "id": "h", "plugins": [evil], "_target_": f"{evil}.f", "verifier": evil}
    with (folder / "train.jsonl").open("a") as file:
        file.write(json.dumps(hostile) + "\n")
    assert len(reader.load(str(folder), "train")) == 61
    assert not marker.exists()


SECRETS = {
    "hub": "hf_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7",
    "api": "sk-" + "proj-0123456789abcdefABCDEF",
    "git": "ghp_" + "0123456789abcdefABCDEF0123456789abcd",
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "password": "https://me:hunter2hunter2@example.org/data",
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("key", ["env.data", "model.path", "name"])
def test_a_config_with_a_secret_is_refused_without_repeating_it(
    configure: Configure, capsys: pytest.CaptureFixture[str], kind: str, key: str
) -> None:
    with pytest.raises(UserError, match=f"{key} holds what looks like a password or a key") as said:
        configure(f"{key}={SECRETS[kind]}")
    assert SECRETS[kind] not in str(said.value)


def test_secrets_of_the_environment_and_of_libraries_stay_out_of_everything_that_is_kept(
    configure: Configure,
    make_engine: MakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "correct-horse-battery")
    leaked = "; ".join([*SECRETS.values(), "Bearer abcdefghijklmnop1234", "correct-horse-battery"])

    class Leaking:
        def __init__(self, inner: Engine) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def update(self, *_: object) -> None:
            raise ConnectionError(f"401 for {leaked}")

    def attempt(_: object) -> int:
        trainer.run(configure("name=run"), lambda config: Leaking(make_engine(config)))  # type: ignore[arg-type,return-value]
        return 0

    with pytest.raises(ConnectionError):
        attempt(None)
    folder = Path(configure().runs_dir) / "run"
    secrets = (*SECRETS.values(), "abcdefghijklmnop1234", "correct-horse-battery", "hunter2")
    kept = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert any(b"401 for" in content for content in kept)
    assert not [s for s in secrets if any(s.encode() in content for content in kept)]
    cli._complain(UserError(leaked), cli.USAGE)
    assert not [s for s in secrets if s in capsys.readouterr().err]
