"""`publish`: writes a run's policy, or a comparison, in a form that others can use.

publish run=runs/first to=FOLDER            the model folder with card and evaluation records
publish run=runs/first to=hub:owner/name    the same, uploaded by the hub's own client
publish run=comparisons/NAME to=FOLDER      report files, and a record for every arm
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mssr_rl import files, nearby, untrusted
from mssr_rl.config.words import parse_words
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.publishing import evaluation_records, model_card
from mssr_rl.publishing.published_run import read_published
from mssr_rl.typed import option

HUB = "hub:"
# What a model folder may hold; nothing else is published.
KINDS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
REPORTS = ("report.html", "report.md", "report.json", "compare.json", "table.tex")


Writer = Callable[[Path, Path, str], None]  # from a folder into a new one; the name to show


@dataclass(frozen=True, kw_only=True)
class PublishWords:
    """The arguments of `publish`."""

    run: str = option("the folder of a run that ended, or of a comparison with a report")
    to: str = option("a new folder, or hub:owner/name (a private repository unless it exists)")


def publish(arguments: Sequence[str]) -> str:
    """Write or upload what the arguments name; return where it is."""
    parsed = parse_words(PublishWords, arguments)
    source = Path(parsed.run)
    write = _write_comparison if (source / "compare.json").is_file() else _write_run
    if not parsed.to.startswith(HUB):
        folder = Path(parsed.to)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"to={folder} exists already and is not empty; name a new folder")
        _write_whole(write, source, folder)
        return f"published  {folder}"
    name = parsed.to.removeprefix(HUB)
    if name.count("/") != 1 or nearby.path_like(name):
        raise UserError(f"to={parsed.to}: a repository of the hub is written hub:owner/name")
    kind = "dataset" if write is _write_comparison else "model"
    with tempfile.TemporaryDirectory(prefix="publish_") as scratch:
        folder = Path(scratch) / "published"
        write(source, folder, name)
        return f"published  {_upload(folder, name, kind)}"


def _write_whole(write: Writer, source: Path, folder: Path) -> None:
    """Write the folder under another name first, so that a failure leaves nothing behind."""
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".publish_", dir=folder.parent) as scratch:
        written = Path(scratch) / "published"
        write(source, written, folder.name)
        written.replace(folder)


def _copy(path: Path, to: Path, within: Path) -> None:
    """Copy a file of a folder that may come from others. A link that leads out is refused."""
    with untrusted.opened(path, untrusted.STREAM_BYTES, within) as file, to.open("wb") as copy:
        shutil.copyfileobj(file, copy)


def _write_run(source: Path, folder: Path, name: str) -> None:
    run = read_published(source)
    # Imported after the first check: they load torch.
    from mssr_rl.models.load import read_config, sees
    from mssr_rl.run.evaluate import policy_folder

    policy = Path(policy_folder(str(source)))
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in KINDS:
        for path in policy.glob(pattern):
            _copy(path, folder / path.name, source)
    _copy(source / "config.yaml", folder / "config.yaml", source)
    card = model_card.model_card(run, name, sees=sees(read_config(str(policy))))
    _write(folder / "README.md", card)
    record = evaluation_records.of_run(run, name)
    _write(folder / "every_eval_ever.json", json.dumps(record, indent=2) + "\n")
    results = evaluation_records.hub_results(run)
    if results is not None:
        (folder / ".eval_results").mkdir()
        _write(folder / ".eval_results" / "mssr_rl.yaml", results)


def _write_comparison(source: Path, folder: Path, name: str) -> None:
    try:
        report = untrusted.read_object(source / "report.json", within=source)
    except FileNotFoundError:
        raise UserError(f"{source} has no report yet; write it with report run={source}") from None
    records = dict(evaluation_records.of_comparison(report))
    (folder / "every_eval_ever").mkdir(parents=True)
    for file in REPORTS:
        if (source / file).is_file():
            _copy(source / file, folder / file, source)
    for file, record in records.items():
        _write(folder / "every_eval_ever" / file, json.dumps(record, indent=2) + "\n")
    command = " ".join(map(str, report["command"]))
    _write(
        folder / "README.md",
        f"# {name}\n\nA comparison made by mssr_rl: open report.html. The runs are not part of it, "
        f"so `report verify=` needs them again:\n\n    mssr_rl compare {command}\n",
    )


def _write(path: Path, text: str) -> None:
    files.write_bytes(path, text.encode("utf-8", "backslashreplace"))


def _upload(folder: Path, name: str, kind: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        place = api.create_repo(name, repo_type=kind, private=True, exist_ok=True)
        api.upload_folder(repo_id=name, repo_type=kind, folder_path=folder)
    except (OSError, ValueError, HfHubHTTPError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise RunFailed(
            f"the hub did not take {name}: {first}; set HF_TOKEN to a token that may write there, "
            "or publish to a folder"
        ) from error
    return str(place)
