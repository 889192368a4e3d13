"""Modules nobody named are not imported; secrets are refused, and kept out of what is kept."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mssr_rl import cli
from mssr_rl.config import Config
from mssr_rl.config import recorded as recorded_config
from mssr_rl.data import reader
from mssr_rl.engine_protocol import Engine
from mssr_rl.errors import UserError
from mssr_rl.run import replay, trainer
from mssr_rl.run.verify_resume import verify as verify_run

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]


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
    named = {"plugins": f"[{evil}]", "accept": "[config,plugins]"}
    assert "bit for bit" in verify_run(folder, make_engine, named)
    assert marker.exists()  # named, it is imported


@pytest.mark.parametrize(
    ("recorded", "wanted", "words"),
    [
        ("name: local", "name: openrlhf", {"engine": "openrlhf"}),
        ("address: null", "address: ray://far:1", {"cluster.address": "ray://far:1"}),
    ],
)
def test_a_run_folder_cannot_choose_what_loads_its_checkpoints(
    configure: Configure,
    make_engine: MakeEngine,
    recorded: str,
    wanted: str,
    words: dict[str, str],
) -> None:
    folder = trainer.run(configure("name=run"), make_engine)
    config = (folder / "config.yaml").read_text()
    assert recorded in config
    (folder / "config.yaml").write_text(config.replace(recorded, wanted))
    (folder / "faults" / "step_3").mkdir(parents=True)
    (word,) = (f"{key}={value}" for key, value in words.items())
    for attempt in (
        lambda given: verify_run(folder, make_engine, given),
        lambda given: list(replay.replay(folder, make_engine, given)),
    ):
        with pytest.raises(UserError, match=f"asks for {word},.*add {word}"):
            attempt({})
    with pytest.raises(UserError, match=f"add {word}"):
        verify_run(folder, make_engine, {"engine": "other", "cluster.address": "other"})
    recorded_config.refuse_unnamed(folder / "config.yaml", words)  # repeated, it is as it was


def test_the_words_that_trust_a_run_folder_can_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["engine=openrlhf", "cluster.address=here", "plugins=[]"]
    for verb, key in (("resume", "verify"), ("replay", "run")):
        assert cli.main([verb, f"{key}={tmp_path}", *words]) == cli.USAGE
        assert "takes" not in capsys.readouterr().err
        assert cli.main([verb, f"{key}={tmp_path}", "seed=1"]) == cli.USAGE
        assert "unknown argument seed" in capsys.readouterr().err


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
    with pytest.raises(UserError, match=f"{key} looks like a password or a secret key") as said:
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
