"""What a page of words points to is there: files, notebooks, sections; of addresses elsewhere only the form counts."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from fac_lab.display import notebooks
from fac_lab.display.glossary import glossary
from fac_lab.profile import project_root

ROOT = project_root()
PAGES = [ROOT / "README.md", *sorted((ROOT / "data").rglob("README.md")), *notebooks.sources()]
LINK = re.compile(r"\]\(\s*<?([^()\s<>]*(?:\([^()\s]*\)[^()\s<>]*)*)>?(?:\s+\"[^\"]*\")?\s*\)")
TAG = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=[\"']([^\"']*)[\"']")
BARE = re.compile(r"(?<![\w(\"'=])https?://[^\s)>`\"'|,;]*[\w/]")
QUOTED = re.compile(r"`([^`\s]+)`")
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - {"runs", "build"}
WILD = re.compile(r"[*<>{}]|[A-Z]{4,}|\.\.\.")
"""Of a path that stands for many: a pattern, or a name in capitals to be filled in."""


def prose(page: Path) -> str:
    """The page without code: of a notebook, its cells of words; fenced blocks are left out."""
    if page.suffix == ".py":
        text = "\n\n".join(c.source for c in notebooks.read_source(page).cells if c.cell_type == "markdown")
    else:
        text = page.read_text(encoding="utf-8")
    return re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)


def targets(text: str) -> list[str]:
    """Where links and pictures lead, in the order of their kinds; quoted code is no link."""
    plain = QUOTED.sub("", text)
    return [*LINK.findall(plain), *TAG.findall(plain), *BARE.findall(plain)]


def anchors(page: Path) -> set[str]:
    """Names of a page's sections: as JupyterLab makes them in notebooks, as GitHub does in Markdown."""
    titles = re.findall(r"^#{1,6} +(.*?) *$", prose(page), re.MULTILINE)
    if page.suffix == ".py":
        return {re.sub(r"\s", "-", title) for title in titles}
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def trouble(target: str, page: Path) -> str | None:
    """What is wrong with a link on a page; None where nothing is."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        sound = parts.scheme in ("http", "https") and re.fullmatch(
            r"([\w-]+\.)+[a-z]{2,}|localhost", parts.hostname or ""
        )
        return None if sound else "no address of the web"
    place = page
    if parts.path:
        place = (page.parent / unquote(parts.path)).resolve()
        # A notebook that is run has its source beside it, and the source is what is written.
        place = place.with_suffix(".py") if place.suffix == ".ipynb" else place
        if not place.is_relative_to(ROOT):
            return "outside of the project"
        if not place.exists():
            return "no such file"
    if parts.fragment and unquote(parts.fragment) not in anchors(place):
        return "no such section"
    return None if target else "nothing"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
class TestEveryPage:
    def test_links_lead_somewhere(self, page):
        found = {target: trouble(target, page) for target in targets(prose(page))}
        assert {target: said for target, said in found.items() if said} == {}

    def test_paths_that_are_named_exist(self, page):
        """A path in code type that begins with a folder of the project."""
        named = {name.split(":")[0].rstrip("/") for name in QUOTED.findall(prose(page))}
        paths = {name for name in named if "/" in name and name.split("/")[0] in FOLDERS and not WILD.search(name)}
        assert sorted(name for name in paths if not (ROOT / name).exists()) == []


def test_the_glossary_points_to_what_exists():
    words = glossary()
    found = [target for meaning in words.meaning for target in targets(meaning)]
    assert [target for target in found if trouble(target, ROOT / "notebooks" / "15_reading_group.py")] == []
    quoted = [name for meaning in words.meaning for name in QUOTED.findall(meaning) if name.split("/")[0] in FOLDERS]
    assert [name for name in quoted if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[a](README.md)", None),
        ("[a](README.md#start)", None),
        ("[a](README.md#the-end)", "no such section"),
        ("[a](no/such.md)", "no such file"),
        ("[a](../../../etc/passwd)", "outside of the project"),
        ("[a](notebooks/14_theory.ipynb#8-All-sliders-at-once)", None),
        ("[a](notebooks/14_theory.ipynb#9-all)", "no such section"),
        ("![a picture](figures/no.png)", "no such file"),
        ('<img alt="" src="figures/no.png">', "no such file"),
        ("[a](https://arxiv.org/abs/2602.10388)", None),
        ("[a](https//arxiv.org)", "no such file"),
        ("see https://no-host/", "no address of the web"),
        ("[a](ftp://arxiv.org)", "no address of the web"),
        ("[a]()", "nothing"),
    ],
)
def test_what_is_wrong_is_found(written, said):
    (target,) = targets(written)
    assert trouble(target, ROOT / "README.md") == said
