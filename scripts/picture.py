"""Make README.md's picture of a comparison: `picture.py comparisons/NAME docs/comparison.png`.

It takes a screenshot of the top of report.html. This needs Chromium; no run needs it.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDTH, TOP, BOTTOM = 1280, 74, 1500  # pixels: below the command line, to the end of the table
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(comparison: str, picture: str) -> None:
    """Take the picture, cut it, and store it with 256 colours, because the page has few."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"none of {', '.join(BROWSERS)} is installed")
    page = (Path(comparison) / "report.html").resolve().as_uri()
    with tempfile.TemporaryDirectory() as scratch:
        shot = Path(scratch) / "page.png"
        look = [f"--window-size={WIDTH},{BOTTOM}", f"--screenshot={shot}", "--hide-scrollbars"]
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", *look, page]
        subprocess.run(command, check=True, capture_output=True)
        with Image.open(shot) as drawn:
            cut = drawn.convert("RGB").crop((60, TOP, WIDTH - 60, BOTTOM))
    cut.quantize(256, kmeans=2).save(picture, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
