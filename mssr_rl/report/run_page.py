"""Write report.html of one run: a single file that opens offline, made from the run's folder alone.

`runfiles` reads the folder, and the other modules of this package draw the parts. The template
(`html`) escapes every text of a model or a data file.
"""

from pathlib import Path

from mssr_rl import files
from mssr_rl.report import panels, results, setup, text
from mssr_rl.report.gallery import gallery
from mssr_rl.report.html import TEMPLATES, own, policy, templates
from mssr_rl.report.next_steps import next_steps
from mssr_rl.report.runfiles import RunDocuments, RunFiles, read_run

CONFIG_LIMIT = 60_000  # characters of config.yaml


def write(run_dir: Path) -> Path:
    """Write report.html into the folder of a finished or unfinished run; return its path."""
    target = run_dir / "report.html"
    page = render(read_run(run_dir))
    files.write_bytes(target, page.encode("utf-8", "replace"))
    return target


def render(run: RunFiles) -> str:
    """Return the text of the page; the same files always give the same text."""
    style = own(TEMPLATES / "report.css") + "\n" + own(TEMPLATES / "controls.css")
    script = own(TEMPLATES / "report.js")
    found = results.scores(run.evaluations)
    return (
        templates(TEMPLATES)
        .get_template("report.html.j2")
        .render(
            policy=policy(style, script),
            style=style,
            script=script,
            run=run,
            setup=setup.describe(run),
            scores=found,
            sentence=results.sentence(found, run.run.get("overlap")),
            caution=results.CAUTION,
            breakdowns=results.breakdowns(run.evaluations),
            panels=panels.charts(run.metrics, run.evaluations),
            gallery=gallery(run.samples, run.folder),
            next=next_steps(RunDocuments(run.config_text, run.run, run.summary), run.folder.name),
            config=text.excerpt(run.config_text, CONFIG_LIMIT),
        )
    )
