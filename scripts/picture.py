"""Make README.md's pictures.

    python scripts/picture.py comparisons/NAME docs/comparison.png
    python scripts/picture.py http://127.0.0.1:8400/run/runs/NAME docs/view.png 0 1280
    python scripts/picture.py comparisons/NAME docs/map.png 100 400 maps

It takes a screenshot of the top of report.html, of one section of it, or of a page that `view`
serves; the numbers are the first and the last row of pixels. This needs Chromium; no run needs it.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDTH, TOP, BOTTOM = 1280, 74, 1500  # pixels: below the command line, to the end of the table
MARGIN = 60  # pixels at both sides of a report
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(
    place: str, picture: str, top: str = str(TOP), bottom: str = str(BOTTOM), section: str = ""
) -> None:
    """Take the picture, cut it, and store it with 256 colours, because the page has few."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"none of {', '.join(BROWSERS)} is installed")
    served = "://" in place
    margin = 0 if served else MARGIN
    page = place if served else (Path(place) / "report.html").resolve().as_uri()
    with tempfile.TemporaryDirectory() as scratch:
        if section:
            page = _section(Path(place) / "report.html", section, Path(scratch) / "page.html")
        shot = Path(scratch) / "page.png"
        look = [f"--window-size={WIDTH},{bottom}", f"--screenshot={shot}", "--hide-scrollbars"]
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", *look, page]
        subprocess.run(command, check=True, capture_output=True)
        with Image.open(shot) as drawn:
            cut = drawn.convert("RGB").crop((margin, int(top), WIDTH - margin, int(bottom)))
    cut.quantize(256, kmeans=2).save(picture, optimize=True)


def _section(report: Path, name: str, to: Path) -> str:
    """Write one section of a report as a page in the same style, and return its address."""
    text = report.read_text("utf-8")
    start = text.index(f'<section id="{name}"')
    end = text.index("</section>", start)
    to.write_text(f"{text[: text.index('<body')]}<body>{text[start:end]}</section></body>", "utf-8")
    return to.as_uri()


if __name__ == "__main__":
    main(*sys.argv[1:])
