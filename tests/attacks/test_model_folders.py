"""Model folders that bring code: named in any JSON, in any spelling, or lying where it is found."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.errors import UserError
from mssr_rl.models import TINY, vetting

ESCAPED = '"auto\\u005fmap"'  # the same key to a parser, another one to a search in the text


@pytest.fixture
def folder(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model with Python of its own beside it, named nowhere yet."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "mod"))
    monkeypatch.syspath_prepend(tmp_path / "mod")
    place = tmp_path / "model"
    shutil.copytree(TINY, place)
    evil = (
        f"open({str(marker)!r}, 'w').close()\n"
        "from transformers import Qwen2_5_VLConfig\n"
        "class C(Qwen2_5_VLConfig): pass\n"
        "def generate(*_, **__): pass\n"
    )
    (place / "evil.py").write_text(evil)
    (place / "custom_generate").mkdir()
    (place / "custom_generate" / "generate.py").write_text(evil)
    return place


def named_in(place: Path, name: str, entry: str) -> Path:
    """The folder, one of whose JSON files says `entry` first."""
    path = place / name
    path.parent.mkdir(exist_ok=True)
    known = path.read_text() if path.exists() else "{}"
    rest = known.strip().removeprefix("{").strip()
    path.write_text("{" + entry + ("" if rest == "}" else ", ") + rest)
    json.loads(path.read_text())
    shutil.rmtree(place / "custom_generate", ignore_errors=True)
    return place


SPELLINGS = {
    "plain": '"auto_map": {"AutoConfig": "evil.C"}',
    "escaped": ESCAPED + ': {"AutoConfig": "evil.C"}',
    "blank": '"auto_map" : {"AutoConfig": "evil.C"}',
    "twice": ESCAPED + ': {"AutoConfig": "evil.C"}, "auto_map": {}',
    "nested": '"text_config_2": [{' + ESCAPED + ': {"AutoConfig": "evil.C"}}]',
    "hub": ESCAPED + ': {"AutoConfig": "somebody/else--evil.C"}',
}
FILES = (
    "config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json",
    "video_preprocessor_config.json", "generation_config.json", "special_tokens_map.json",
    "config.4.0.0.json", "qformer_tokenizer/tokenizer_config.json",
)  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_code_is_found_however_it_is_spelt(folder: Path, spelling: str) -> None:
    with pytest.raises(UserError, match=r"config\.json brings code of its own \(auto_map\)"):
        vetting.refuse_code(named_in(folder, "config.json", SPELLINGS[spelling]))


@pytest.mark.parametrize("name", FILES)
def test_code_is_found_in_every_json_that_a_library_looks_at(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match="brings code of its own"):
        vetting.refuse_code(named_in(folder, name, SPELLINGS["escaped"]))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_json_in_another_encoding_is_refused_unread(folder: Path, encoding: str) -> None:
    named_in(folder, "config.json", SPELLINGS["escaped"])
    path = folder / "config.json"
    path.write_text(path.read_text(), encoding=encoding)
    with pytest.raises(UserError, match=r"config\.json is not usable JSON"):
        vetting.refuse_code(folder)


def test_a_generate_of_its_own_is_found_and_a_word_of_the_vocabulary_is_none(folder: Path) -> None:
    with pytest.raises(UserError, match=r"custom_generate/generate\.py"):
        vetting.refuse_code(folder)
    shutil.rmtree(folder / "custom_generate")
    (folder / "vocab.json").write_text('{"auto_map": 7}')
    vetting.refuse_code(folder)
    vetting.refuse_code(TINY)


LOADERS = {
    "AutoConfig": "config.json",
    "AutoProcessor": "config.json",
    "AutoModelForImageTextToText": "",
}


@pytest.mark.parametrize("kind", LOADERS)
def test_a_library_that_asks_for_foreign_code_is_not_heard(
    folder: Path, marker: Path, kind: str
) -> None:
    import transformers  # after our hook for torchvision

    if name := LOADERS[kind]:
        named_in(folder, name, SPELLINGS["escaped"])

    def attempt() -> None:
        try:
            getattr(transformers, kind).from_pretrained(folder, trust_remote_code=True)
        except ValueError as error:
            assert "custom" in str(error)  # noqa: PT017  refused instead of ignored is as good

    with vetting.without_code():
        attempt()
    assert not marker.exists()
    attempt()
    assert marker.exists()  # outside, a plug-in may load what it trusts


def test_of_the_hub_only_data_are_fetched_and_checked_like_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}

    def snapshot_download(repo: str, **named: Any) -> str:
        told.update(named, repo=repo)
        return str(named_in(folder, "config.json", SPELLINGS["escaped"]))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(UserError, match="brings code of its own"):
        vetting.refuse_code(vetting.local_folder("owner/name"))
    assert told["repo"] == "owner/name"
    assert not [pattern for pattern in told["allow_patterns"] if pattern.endswith((".py", ".bin"))]


@pytest.mark.parametrize("path", ["no/such", "/no/such/folder", "a/b/c/d", "x\0y"])
def test_a_model_that_is_nowhere_is_one_sentence(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"could not be loaded|there is no such folder here"):
        vetting.local_folder(path)
