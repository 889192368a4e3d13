"""The verbs that make, look at, prove or repeat a run: train, status, report, resume, replay."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mssr_rl import outward
from mssr_rl.config.words import called, others, read
from mssr_rl.typed import option


@dataclass(frozen=True, kw_only=True)
class TrainWords:
    """What `train` is told, beside the keys of a run."""

    plan: bool = option("say in words what would be done, and start nothing", False)
    cfg: Literal["job"] | None = option("job: print the whole config as YAML, start nothing", None)
    keys: Mapping[str, str] = others("any key of a run")


def train(arguments: Sequence[str]) -> str | None:
    """Train, or say what would be trained."""
    from mssr_rl.config.compose import load, to_yaml

    asked = read(TrainWords, arguments)
    config = load([f"{key}={text}" for key, text in asked.keys.items()])
    if not asked.plan and asked.cfg is None:
        from mssr_rl.run import trainer

        trainer.train(config)
        return None
    from mssr_rl.config.engines import refuse_lost_updates
    from mssr_rl.planning import plan

    refuse_lost_updates(config)
    lines = plan.words(config)
    if asked.cfg is None:
        return "\n".join(lines)
    return "\n".join(f"# {line}" for line in lines) + f"\n{to_yaml(config)}"


@dataclass(frozen=True, kw_only=True)
class StatusWords:
    """What `status` is told."""

    runs_dir: tuple[str, ...] = option("folders that are looked through", ("runs", "comparisons"))


def status(arguments: Sequence[str]) -> str:
    """A table of all runs."""
    from mssr_rl.run import status as table

    folders = [Path(folder) for folder in read(StatusWords, arguments).runs_dir]
    return "\n".join(map(outward.plain, table.main(folders)))


@dataclass(frozen=True, kw_only=True)
class ReportWords:
    """What `report run=` is told."""

    run: str = option("the folder of a run or of a comparison")


def report(arguments: Sequence[str]) -> str:
    """Write a report again; where it lies."""
    folder = Path(read(ReportWords, arguments).run)
    if (folder / "compare.json").exists():
        from mssr_rl.comparison.comparison_page import write as write_comparison

        return str(write_comparison(folder).page)
    from mssr_rl.report.run_page import write

    return str(write(folder))


@dataclass(frozen=True, kw_only=True)
class Permits:
    """What of a run's recorded config may run code: only what is named here again."""

    plugins: tuple[str, ...] = option("the modules that the run imported", ())
    engine: str | None = option("the engine, where it is another than local", None)
    address: str | None = called("cluster.address", "the Ray cluster that the run used", None)

    @property
    def texts(self) -> dict[str, str]:
        """As `config.recorded` reads them."""
        found = {"engine": self.engine, "cluster.address": self.address}
        texts = {key: text for key, text in found.items() if text is not None}
        return texts | {"plugins": f"[{','.join(self.plugins)}]"}


@dataclass(frozen=True, kw_only=True)
class ResumeWords(Permits):
    """What `resume verify=` is told."""

    verify: str = option("the run's folder")
    accept: tuple[str, ...] = option("changes since the run that do not matter here", ())

    @property
    def texts(self) -> dict[str, str]:
        """With what is accepted."""
        return super().texts | {"accept": f"[{','.join(self.accept)}]"}


def resume(arguments: Sequence[str]) -> str:
    """Prove that a run resumes as if it had never stopped."""
    from mssr_rl.run import verify_resume

    asked = read(ResumeWords, arguments)
    return verify_resume.main(Path(asked.verify), asked.texts)


@dataclass(frozen=True, kw_only=True)
class ReplayWords(Permits):
    """What `replay` is told."""

    run: str = option("the run's folder")


def replay(arguments: Sequence[str]) -> None:
    """Do a kept step again, and print what is found as it is found."""
    from mssr_rl.run import replay as again

    asked = read(ReplayWords, arguments)
    for line in again.main(Path(asked.run), asked.texts):
        sys.stdout.write(f"{line}\n")
