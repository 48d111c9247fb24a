"""`fac-lab browse`: the browser of missing features as a page of its own.

What is to be opened is opened here first, so that what takes minutes shows its progress in the terminal and what cannot
be opened is said there. The page then opens it again, from disk, in a process of its own. It gets to know what to open
from an environment variable: nothing that a user typed becomes code.
"""

import json
import logging
import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psutil import Process

from fac_lab.errors import FacLabError, SettingsError
from fac_lab.plain import build
from fac_lab.profile import Profile, as_dict, load_profile

if TYPE_CHECKING:
    from fac_lab.browsing.session import BrowserSession

log = logging.getLogger(__name__)

ASKED = "FAC_LAB_BROWSE"
SHOWN_BYTES = 2**27
"""What the widgets and figures of a page take beside what it shows."""
CELL = "from fac_lab.browse import page\npage()"


def browse(
    folder: str | Path | None = None,
    *,
    profile: str | Path | Profile | None = None,
    port: int | None = None,
    open_browser: bool = True,
) -> None:
    """Serve the browser of an audit's folder, or of the mini world (None), on this machine until Ctrl-C.

    `profile` is the audit's own, or the default one, unless given; `port` a free one. The address is printed, and
    opened unless `open_browser` is False. Raises what `open_asked` does, and SettingsError for a port that is taken.
    """
    asked = ask(folder, profile)
    session = open_asked(asked)
    title = f"Missing features · {session.name}"
    numbers = session.numbers()
    print(f"{session.name}: FAC {numbers.fac:.3f}, {numbers.n_missing} missing of {numbers.n_support} features")
    # This process has opened what each page opens; now it is as large as theirs, without what shows it.
    page_bytes = Process().memory_info().rss + SHOWN_BYTES
    del session

    _lighten()
    from fac_lab.display.page import serve

    def ready(address: str) -> None:
        print(f"{address}\nfor this machine only; Ctrl-C stops it", flush=True)
        if open_browser and not webbrowser.open(address):
            print("no browser could be opened: copy the address into one", flush=True)

    # The page's process inherits the environment: this very package, and no progress bars, which would be on the page.
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    os.environ |= {ASKED: json.dumps(asked), "PYTHONPATH": path, "TQDM_DISABLE": "1"}
    serve(CELL, title, port=port, ready=ready, page_bytes=page_bytes)


def ask(folder: str | Path | None, profile: str | Path | Profile | None) -> dict[str, Any]:
    """What is to be opened, as plain values: `audit` (a folder or None), `profile` (settings or None), `here`.

    Raises SettingsError for a profile that does not exist, or that is no mini world where no folder is named.
    """
    loaded = profile
    if not isinstance(profile, Profile) and (profile is not None or folder is None):
        loaded = load_profile(profile)
    if folder is None:
        sources = {corpus.source for corpus in loaded.corpora.values()}
        if sources != {"mini"} or loaded.generator is None or loaded.annotator is None:
            raise SettingsError(
                f"profile {loaded.name} is no mini world: run `fac-lab audit` on your data and name its folder, as in "
                "`fac-lab browse runs/audit`"
            )
    return {
        "audit": None if folder is None else str(Path(folder).absolute()),
        "profile": None if loaded is None else as_dict(loaded),
        "here": str(Path.cwd()),
    }


def open_asked(asked: dict[str, Any]) -> "BrowserSession":
    """The session of what `ask` returned. Raises ArtifactError for a folder that holds no audit."""
    from fac_lab.browsing.opening import open_audit, open_world
    from fac_lab.lab import Lab

    profile = None if asked["profile"] is None else build(Profile, asked["profile"])
    if asked["audit"] is None:
        return open_world(Lab.open(profile))
    return open_audit(asked["audit"], profile=profile)


def page() -> None:
    """What the page's kernel runs: open what was asked for, and show it."""
    _lighten()
    import tqdm.asyncio
    import tqdm.auto
    from IPython.display import HTML, display
    from markupsafe import Markup

    # In a kernel, bars are widgets, which heed no TQDM_DISABLE and would stay above the page. This one does.
    tqdm.auto.tqdm = tqdm.asyncio.tqdm
    try:
        asked = json.loads(os.environ[ASKED])
        os.chdir(asked["here"])  # where relative paths of a profile were meant
        session = open_asked(asked)
    except FacLabError as error:
        display(HTML(Markup("<p role='alert'><b>It cannot be opened.</b> {}</p>").format(str(error))))
        return

    from fac_lab.display.browser import browser

    display(browser(session))


def _lighten() -> None:
    """Leave out the grammar of internationalised addresses, which jsonschema takes along where it is installed: its
    import takes several seconds, more than all else that a page imports, and nothing here checks such an address."""
    sys.modules.setdefault("rfc3987_syntax", None)
