"""Files out and in: the list as CSV and JSONL, labels that others published."""

import base64
from pathlib import Path

import ipywidgets
from markupsafe import Markup

from fac_lab.display.browser.desk import Desk
from fac_lab.display.browser.style import box, button, heading, html, named

FIT = {"description_width": "initial"}
LARGEST_LINK = 2_000_000
"""Bytes of a file that is put into the page to be downloaded; of larger ones the path alone is shown."""


class FilesPart:
    """Files out and in. Parts: `export`, `files`, `path`, `load`, `widget`."""

    def __init__(self, desk: Desk, folder: Path | None = None) -> None:
        self.desk = desk
        self._folder = folder
        self.export = button("export the list", "fl-export", self._export, tooltip="as CSV and JSONL, with a manifest")
        self.files = html("fl-files")
        self.path = named(
            ipywidgets.Text(description="labels", placeholder="file of explanations, as Neuronpedia exports them",
                            style=FIT),
            "fl-labels", "fl-wide",
        )  # fmt: skip
        self.load = button("import labels", "fl-import", self._import)
        self.widget = box(
            *(heading("Export"), self.export, self.files, heading("Labels of others"), self.path, self.load),
            name="fl-exchange",
        )

    @property
    def folder(self) -> Path:
        """Where exports go: beside the edits unless told otherwise."""
        if self._folder is not None:
            return self._folder
        journal = self.desk.session.journal
        return journal.path.parent / "export" if journal else Path("export")

    def _export(self) -> None:
        session = self.desk.session
        n = len(session.features)
        found = self.desk.act(
            lambda: session.export(self.folder), busy=f"Writing {n:,} features …", done=f"{n:,} features exported."
        )
        if found is not None:
            self.files.value = Markup("<ul>{}</ul>").format(Markup("").join(_file_html(path) for path in found))

    def _import(self) -> None:
        session = self.desk.session
        self.desk.act(
            lambda: session.import_labels(self.path.value),
            busy="Reading the labels …",
            done=lambda found: (
                f"{len(found.labels):,} labels of {found.source} imported, "
                f"entries left out: {len(found.rejected):,}; shown where neither annotator nor person said anything."
            ),
            tell=["cut", "list", "feature"],
        )


def _file_html(path: Path) -> Markup:
    """A file's path, with its content as a download where that is small enough for a page."""
    size = path.stat().st_size
    line = Markup("<code>{}</code> ({:,.0f} kB)").format(path, size / 1000)
    if size > LARGEST_LINK:
        return Markup("<li>{}</li>").format(line)
    kind = {".csv": "text/csv", ".json": "application/json"}.get(path.suffix, "application/x-ndjson")
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return Markup('<li><a class="fl-download" download="{}" href="data:{};base64,{}">download {}</a>, {}</li>').format(
        path.name, kind, data, path.name, line
    )
