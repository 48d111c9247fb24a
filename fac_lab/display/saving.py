"""Figures on disk: an interactive page and a picture of it, both by one function.

`figures/` holds what the profile mini drew: the pictures are committed, the pages are made again by whoever runs a
notebook. Other profiles leave theirs in `runs/PROFILE/figures`; the profile smoke, which has no result to keep, saves
nothing. plotly.js (5 MB) lies once beside the pages, so that they open from a file, without a network.
"""

import logging
import re
import shutil
import struct
import subprocess
import tempfile
import zlib
from html import escape
from pathlib import Path

import plotly.graph_objects as go
import plotly.io as pio
from plotly.offline import get_plotlyjs

from fac_lab.atomic import write_atomic
from fac_lab.digests import digest
from fac_lab.display.theme import HEIGHT
from fac_lab.errors import SettingsError
from fac_lab.profile import load_profile, project_root

log = logging.getLogger(__name__)

WIDTH = 900
"""Pixels of a picture; a page takes the width of its window."""
PLOTLY_JS = "plotly.min.js"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER_SECONDS = 120.0
"""A browser takes three; one that hangs is given up, and the picture with it."""
QUIET = (
    "--headless",
    "--no-sandbox",  # it has none as root or in a container, and what it opens is our own page
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # WebGL without a GPU
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--virtual-time-budget=5000",
)
HEADER = 33
"""Bytes of a PNG before its first further chunk: signature and IHDR."""
KEYWORD = b"fac_lab page\0"
INK, PAPER = "#3c3c3c", "#ffffff"

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>{title}</title>
<style>
body {{ margin: 0; background: {paper}; }}
.plotly-graph-div:not(:hover) .modebar {{ opacity: 0; }}
</style>
<script src="{plotly_js}"></script>
</head>
<body>
{figure}
</body>
</html>
"""


def save_figure(figure: go.Figure, name: str, *, folder: Path | None = None, width: int = WIDTH) -> list[Path]:
    """Write `NAME.html`, which opens by itself, and `NAME.png`, `width` pixels wide; returns what is there now.

    On white, whatever the notebook's theme. Without `folder` the profile in force decides (see the module); none is
    written in the profile smoke. The same figure gives the same page, and a PNG says which page it shows, so that one
    that shows this page is not drawn again. Without a Chromium or Chrome on the PATH no PNG is drawn, with a line in
    the log; one of an earlier run stays, but is not returned. SettingsError for a name that is more than lower-case
    letters, digits, "-" and "_", or a width below 1.
    """
    if not NAME.fullmatch(name):
        raise SettingsError(f"figure name {name!r}: at most 80 lower-case letters, digits, '-' and '_'; no folder")
    if width < 1:
        raise SettingsError(f"figure {name}: a picture {width} pixels wide; give at least 1")
    folder = _folder() if folder is None else Path(folder)
    if folder is None:
        log.info("figure %s is not saved: the profile smoke keeps no results", name)
        return []
    page, picture = folder / f"{name}.html", folder / f"{name}.png"
    html = _page(figure, name)
    library = folder / PLOTLY_JS
    source = get_plotlyjs()
    if not library.is_file() or library.stat().st_size != len(source.encode("utf-8")):
        write_atomic(library, lambda path: path.write_text(source, encoding="utf-8"))
    if not page.is_file() or page.read_text(encoding="utf-8") != html:
        write_atomic(page, lambda path: path.write_text(html, encoding="utf-8"))
    shows = digest(html, width)
    drawn = _shown(picture) == shows or _draw(page, picture, shows, width, figure.layout.height or HEIGHT)
    return [page, picture] if drawn else [page]


def find_browser() -> str | None:
    """The path of a Chromium or Chrome on the PATH; None where there is none."""
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


def _folder() -> Path | None:
    """Where the profile in force leaves its figures; None in the profile smoke."""
    profile = load_profile().name
    if profile == "smoke":
        return None
    return project_root() / "figures" if profile == "mini" else project_root() / "runs" / profile / "figures"


def _page(figure: go.Figure, name: str) -> str:
    """A page of its own with the figure on white; plotly escapes what could end its script."""
    light = go.Figure(figure)  # of a FigureWidget too
    light.update_layout(paper_bgcolor=PAPER, plot_bgcolor=PAPER, font_color=INK)
    fragment = pio.to_html(
        light,
        full_html=False,
        include_plotlyjs=False,
        auto_play=False,
        div_id=f"figure-{name}",  # by chance otherwise
        default_height=f"{light.layout.height or HEIGHT}px",
        config={"displaylogo": False, "responsive": True},
    )
    title = (light.layout.meta or {}).get("title") if isinstance(light.layout.meta, dict) else None
    return PAGE.format(title=escape(str(title or name)), paper=PAPER, plotly_js=PLOTLY_JS, figure=fragment)


def _draw(page: Path, picture: Path, shows: str, width: int, height: int) -> bool:
    """Whether a browser made the picture of the page; what kept it from that is logged."""
    browser = find_browser()
    if browser is None:
        log.info("no PNG of figure %s: no Chromium or Chrome on the PATH", page.stem)
        return False

    def shoot(path: Path) -> None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:  # not the profile of a browser in use
            arguments = [*QUIET, f"--user-data-dir={home}", f"--window-size={width},{int(height)}"]
            subprocess.run(
                [browser, *arguments, f"--screenshot={path.resolve()}", page.resolve().as_uri()],
                capture_output=True,
                timeout=BROWSER_SECONDS,
                check=True,
            )
        png = path.read_bytes()
        path.write_bytes(png[:HEADER] + _text_chunk(shows) + png[HEADER:])

    try:
        write_atomic(picture, shoot)
    except (OSError, subprocess.SubprocessError) as error:
        # A browser that ends well and draws nothing leaves no file to read.
        log.warning("no PNG of figure %s: %s: %s", page.stem, Path(browser).name, error)
        return False
    return True


def _text_chunk(shows: str) -> bytes:
    """A chunk of a PNG that viewers pass over: length, kind, keyword and text, checksum."""
    body = b"tEXt" + KEYWORD + shows.encode("ascii")
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _shown(picture: Path) -> str | None:
    """What `_draw` said the PNG shows; None for a PNG from elsewhere, another file, or none."""
    head = picture.read_bytes()[HEADER : HEADER + 200] if picture.is_file() else b""
    if head[4:8] != b"tEXt" or not head[8:].startswith(KEYWORD):
        return None
    (length,) = struct.unpack(">I", head[:4])
    return head[8 + len(KEYWORD) : 8 + length].decode("ascii", "replace")
