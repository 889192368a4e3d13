"""The package as a Python library: `mssr_rl.train`, `mssr_rl.compare` and `mssr_rl.load`.

    run = mssr_rl.train(algo="mssr", env="vision_r1", budget={"rollouts": 512})
    found = mssr_rl.compare(["grpo", "mssr"], env="vision_r1", seeds=5)
    run = mssr_rl.load("runs/first")

Settings are those of the command line (docs/python.md). Tables are pandas frames; pandas is
imported when the first is asked for. Errors are those of `mssr_rl.errors`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mssr_rl import nearby, untrusted
from mssr_rl.errors import UserError
from mssr_rl.run_streams import any_rows

if TYPE_CHECKING:
    import pandas as pd

LISTS = ("plugins", "accept", "varies", "log")  # settings that are lists; others would be sweeps


class FinishedRun:
    """The folder of a training run, and its results as tables."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / "run.json").is_file():
            raise nearby.no_run(self.folder, "is not a run directory")

    def __repr__(self) -> str:
        return f"FinishedRun({str(self.folder)!r})"

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json: budget, accuracies, stability. {} until the run ends."""
        try:
            return untrusted.read_object(self.folder / "summary.json", within=self.folder)
        except FileNotFoundError:
            return {}

    @property
    def report(self) -> Path:
        """The run's page; open it in a browser."""
        return self.folder / "report.html"

    @property
    def policy(self) -> Path:
        """The model folder in the newest valid checkpoint, in the `save_pretrained` layout.

        Raises UserError if the run has none.
        """
        from mssr_rl.run.evaluate import policy_folder

        return Path(policy_folder(str(self.folder)))

    @property
    def metrics(self) -> "pd.DataFrame":
        """metrics.jsonl: one row per step, one column per metric (docs/metrics.md)."""
        return _frame(_rows(self.folder, "metrics"))

    @property
    def evaluations(self) -> "pd.DataFrame":
        """eval.jsonl: one row per evaluation of a split, without the results of single problems."""
        kept = ("step", "env", "split", "n", "accuracy", "accuracy_sampled", "samples")
        rows = _rows(self.folder, "eval")
        return _frame({key: row.get(key) for key in kept} for row in rows)

    @property
    def answers(self) -> "pd.DataFrame":
        """eval.jsonl, problem by problem: step, env, split, problem, whether greedy was right."""
        return _frame(
            {
                **{key: row.get(key) for key in ("step", "env", "split")},
                "problem": problem,
                "right": bool(right),
            }
            for row in _rows(self.folder, "eval")
            for problem, right in row.get("per_problem", {}).items()
        )

    @property
    def samples(self) -> "pd.DataFrame":
        """samples.jsonl: recorded rollouts, one row each."""
        return _frame(_rows(self.folder, "samples"))


class FinishedComparison:
    """The folder of a comparison, and its results as tables."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / "compare.json").is_file():
            raise nearby.no_comparison(
                self.folder, "has no compare.json, so it is not a comparison"
            )

    def __repr__(self) -> str:
        return f"FinishedComparison({str(self.folder)!r})"

    @property
    def document(self) -> dict[str, Any]:
        """The content of report.json."""
        return untrusted.read_object(self.folder / "report.json", within=self.folder)

    @property
    def report(self) -> Path:
        """The comparison's page; open it in a browser."""
        return self.folder / "report.html"

    @property
    def verdicts(self) -> "pd.DataFrame":
        """One row per environment and pair of arms: the verdict and the difference."""
        return _frame(_flat(pair, env=env["env"]) for env in self._envs for pair in env["pairs"])

    @property
    def leaderboard(self) -> "pd.DataFrame":
        """One row per environment and arm: the mean accuracy over seeds with its interval."""
        rows = ((env["env"], row) for env in self._envs for row in env["leaderboard"])
        return _frame(_flat(row, env=env) for env, row in rows)

    @property
    def runs(self) -> list[FinishedRun]:
        """All runs of the comparison that were started."""
        marks = sorted((self.folder / "runs").glob("*/run.json"))
        return [FinishedRun(mark.parent) for mark in marks]

    def verify(self) -> str:
        """Recompute the report from the raw files; return a sentence. See `report verify=`."""
        from mssr_rl.comparison.verify_report import verify_comparison

        return str(verify_comparison([f"verify={self.folder}"]))

    @property
    def _envs(self) -> list[dict[str, Any]]:
        envs: list[dict[str, Any]] = self.document["envs"]
        return envs


def train(**settings: Any) -> FinishedRun:
    """Train a policy and return its run; settings are the keys of `train` on the command line.

    `budget={"rollouts": 512}` and `**{"budget.rollouts": 512}` mean the same.

    Raises:
        UserError: a setting is wrong.
        RunFailed: the run ended early; `Collapsed` if the policy collapsed.
    """
    from mssr_rl.config.compose import load as load_config
    from mssr_rl.engine import make_engine
    from mssr_rl.run import here, trainer

    config = load_config(_words(settings, sweeps=False))
    here.refuse_what_is_missing(config)
    return FinishedRun(trainer.run(config, make_engine))


def compare(algos: Sequence[str], **settings: Any) -> FinishedComparison:
    """Train every arm with every seed and return the comparison; the same call continues it.

    A list among the settings makes arms: `compare(["mssr"], algo={"gamma": [0.4, 2.0]})`.

    Raises:
        UserError: a setting is wrong, or arms differ in an undeclared setting.
        RunFailed: some runs failed; the report of the others is written.
    """
    from mssr_rl.config.words import parse_words
    from mssr_rl.sweep import compare_verb, folder
    from mssr_rl.sweep.settings import Settings

    words = [f"algo={','.join(algos)}", *_words(settings, sweeps=True)]
    parsed = parse_words(Settings, words)
    compare_verb.compare(words)
    return FinishedComparison(folder.place(parsed, dict(parsed.runs)).path)


def load(folder: str | Path) -> FinishedRun | FinishedComparison:
    """Return the run or the comparison in a folder. Raises UserError if it holds neither."""
    if (Path(folder) / "compare.json").is_file():
        return FinishedComparison(folder)
    return FinishedRun(folder)


def _words(settings: Mapping[str, Any], *, sweeps: bool) -> list[str]:
    """Return settings as `key=value` arguments; nested mappings become dotted keys."""
    return [f"{key}={_text(key, value, sweeps)}" for key, value in _leaves(settings, "")]


def _leaves(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(key: str, value: Any, sweeps: bool) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        listed = ",".join(_text(key, one, sweeps) for one in value)
        return listed if sweeps and key not in LISTS else f"[{listed}]"
    return str(value)


def _rows(folder: Path, stream: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a stream; lines that are damaged are left out, as in reports."""
    try:
        yield from (row for row in any_rows(folder, stream) if row is not None)
    except FileNotFoundError:
        return


def _flat(row: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return a row of report.json with one column per number: `accuracy.mean`, `accuracy.low`."""
    flat = dict(more)
    for key, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": x for inner, x in value.items()}
        else:
            flat[key] = value
    return flat


def _frame(rows: Iterator[dict[str, Any]]) -> "pd.DataFrame":
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise UserError(
            "tables of results need pandas: pip install pandas; without it, the .jsonl files of "
            "the folder hold the same rows"
        ) from error
    return pd.DataFrame(list(rows))
