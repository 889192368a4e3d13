"""The verbs for single runs: train, status, report, resume and replay."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mssr_rl import outward
from mssr_rl.config.words import called, others, parse_words
from mssr_rl.errors import UserError
from mssr_rl.typed import option


@dataclass(frozen=True, kw_only=True)
class TrainWords:
    """The arguments of `train`: three of its own, and every config key."""

    plan: bool = option("print what would be done, and start nothing", False)
    cfg: Literal["job"] | None = option("job: print the whole config as YAML, start nothing", None)
    view: bool = option("show the run on a local web page while it trains", False)
    keys: Mapping[str, str] = others("any config key")


def train(arguments: Sequence[str]) -> str | None:
    """Train a policy; with `plan` or `cfg`, return a text instead and start nothing."""
    from mssr_rl.config.compose import load, to_yaml

    options = parse_words(TrainWords, arguments)
    config = load([f"{key}={text}" for key, text in options.keys.items()])
    if options.cfg is None:
        from mssr_rl.run.here import refuse_what_is_missing

        refuse_what_is_missing(config, planned=options.plan)
    if not options.plan and options.cfg is None:
        from mssr_rl.run import trainer
        from mssr_rl.view.view_verb import beside

        with beside(config.runs_dir) if options.view else nullcontext():
            trainer.train(config)
        return None
    from mssr_rl.planning import plan

    lines = plan.words(config)
    if options.cfg is None:
        return "\n".join(lines)
    return "\n".join(f"# {line}" for line in lines) + f"\n{to_yaml(config)}"


@dataclass(frozen=True, kw_only=True)
class StatusWords:
    """The arguments of `status`."""

    runs_dir: tuple[str, ...] = option("the folders that hold runs", ("runs", "comparisons"))


def status(arguments: Sequence[str]) -> str:
    """Return a table with one line for every run."""
    from mssr_rl.run import status as table

    words = parse_words(StatusWords, arguments)
    folders = [Path(folder) for folder in words.runs_dir]
    missing = next((folder for folder in folders if not folder.is_dir()), None)
    # The usual folders do not exist before the first run.
    if missing is not None and words.runs_dir != StatusWords.runs_dir:
        raise UserError(f"runs_dir={missing} is no folder; name one that holds runs")
    return "\n".join(map(outward.plain, table.status_table(folders)))


@dataclass(frozen=True, kw_only=True)
class ReportWords:
    """The arguments of `report run=`."""

    run: str = option("the folder of a run or of a comparison")


def report(arguments: Sequence[str]) -> str:
    """Write the report of a run or a comparison again, and return its path."""
    folder = Path(parse_words(ReportWords, arguments).run)
    if (folder / "compare.json").exists():
        from mssr_rl.comparison.comparison_page import write as write_comparison

        return str(write_comparison(folder).page)
    from mssr_rl.report.run_page import write

    return str(write(folder))


@dataclass(frozen=True, kw_only=True)
class Permits:
    """The parts of a recorded config that can run code.

    A run folder may come from anybody. So the user must name these parts again, and nothing else
    of this kind is used.
    """

    plugins: tuple[str, ...] = option("the modules that the run imported", ())
    engine: str | None = option("the engine of the run, if it is not local", None)
    address: str | None = called("cluster.address", "the Ray cluster that the run used", None)

    @property
    def texts(self) -> dict[str, str]:
        """The parts as `{key: text}`, in the form that `config.recorded` reads."""
        named = {"engine": self.engine, "cluster.address": self.address}
        texts = {key: text for key, text in named.items() if text is not None}
        return texts | {"plugins": f"[{','.join(self.plugins)}]"}


@dataclass(frozen=True, kw_only=True)
class ResumeWords(Permits):
    """The arguments of `resume verify=`."""

    verify: str = option("the run's folder")
    accept: tuple[str, ...] = option("changes since the run that you accept", ())

    @property
    def texts(self) -> dict[str, str]:
        """The parts that can run code, and the accepted changes, as `{key: text}`."""
        return super().texts | {"accept": f"[{','.join(self.accept)}]"}


def resume(arguments: Sequence[str]) -> str:
    """Check that a resumed run gives the same bytes as an uninterrupted one; return a report."""
    from mssr_rl.run import verify_resume

    options = parse_words(ResumeWords, arguments)
    return verify_resume.prove_resumption(Path(options.verify), options.texts)


@dataclass(frozen=True, kw_only=True)
class ReplayWords(Permits):
    """The arguments of `replay`."""

    run: str = option("the run's folder")


def replay(arguments: Sequence[str]) -> None:
    """Repeat a step that failed and was saved; print each finding as soon as it is known."""
    from mssr_rl.run import replay as again

    options = parse_words(ReplayWords, arguments)
    for line in again.replay_kept_step(Path(options.run), options.texts):
        sys.stdout.write(f"{line}\n")
