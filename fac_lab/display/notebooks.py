"""Notebooks: text is the source, the `.ipynb` beside it is made from it, with its outputs.

    python -m fac_lab.display.notebooks [--check | --prose] [NAME ...]

A source is `notebooks/NAME.py` in jupytext's percent format. A notebook records a hash of what its outputs were
made from: the cells, the profile with all its settings, and the manifest of the mini world. Code is left out of it on
purpose: otherwise every commit would ask for minutes of running, for outputs that the tests vouch for. `--check`
compares cells and hash, never outputs, and runs nothing; `--prose` takes over words that were changed between the
code, where nothing else was.
"""

import argparse
import json
import logging
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm.auto import tqdm

import fac_lab
from fac_lab.atomic import write_atomic
from fac_lab.digests import digest
from fac_lab.errors import ArtifactError, FacLabError, SettingsError
from fac_lab.profile import load_profile, project_root

log = logging.getLogger(__name__)

MAX_BYTES = 1_500_000
CELL_TIMEOUT = 1800
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
CURE = "run `make notebooks`"
BAR = re.compile(r"\d+%\||\d ?\w* \[\d\d:")
WIDGET = "application/vnd.jupyter.widget-view+json"


def sources(names: Sequence[str] = (), folder: Path | None = None) -> list[Path]:
    """The notebooks' sources in order, all or those named; SettingsError for a name that does not exist."""
    folder = project_root() / "notebooks" if folder is None else folder
    found = {path.stem: path for path in sorted(folder.glob("*.py"))}
    unknown = [name for name in names if name not in found]
    if unknown:
        there = ", ".join(found) or "none"
        raise SettingsError(f"no notebook source {folder / unknown[0]}.py; there are: {there}")
    return [found[name] for name in names] if names else list(found.values())


def read_source(source: Path) -> nbformat.NotebookNode:
    """The notebook without outputs; ids of cells follow their order, so that a run changes outputs only."""
    notebook = jupytext.read(source, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    notebook.metadata = nbformat.NotebookNode(kernelspec=KERNEL, language_info={"name": "python"})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def made_from(notebook: nbformat.NotebookNode, profile: str) -> str:
    """Hash of what the outputs come from: cells, the profile's settings, the mini world's manifest."""
    manifest = project_root() / "data" / "mini" / "manifest.json"
    world = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else None
    return digest(list(map(_content, notebook.cells)), load_profile(profile), world)


def execute(
    source: Path, *, profile: str, progress: bool = True, kernel: AsyncKernelManager | None = None
) -> nbformat.NotebookNode:
    """Run a source in the profile and return the notebook with slim outputs; nothing is written.

    The kernel is this Python with this package: a new one, or `kernel`, whose names are cleared before and whose
    imports are kept, so that several notebooks pay for them once. FacLabError where a cell fails, naming notebook
    and cell.
    """
    notebook = read_source(source)
    package = str(Path(fac_lab.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    renderer = {"PLOTLY_RENDERER": "plotly_mimetype"}  # the default would put plotly.js, 4.5 MB, into the file
    environment = {**os.environ, **renderer, "PYTHONPATH": path, "FAC_LAB_PROFILE": profile}
    n_code = sum(cell.cell_type == "code" for cell in notebook.cells)
    with tqdm(total=n_code, desc=f"{source.stem} ({profile})", unit="cell", disable=not progress) as bar:

        def done(cell, **_):
            bar.update(cell.cell_type == "code")

        settings = {
            "km": kernel,
            "timeout": CELL_TIMEOUT,
            "kernel_name": KERNEL["name"],
            "record_timing": False,
            "resources": {"metadata": {"path": str(source.parent)}},
        }
        try:
            if kernel is not None:
                clear = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%reset -f")])
                _run(NotebookClient(clear, **settings), environment)
            _run(NotebookClient(notebook, **settings, on_cell_complete=done), environment)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            place = next((c for c in reversed(notebook.cells) if c.get("execution_count")), None)
            name = place.id if place else "the first cell"
            raise FacLabError(f"{source.name}, {name}, profile {profile}: {_last_line(error)}") from error
    slim(notebook)
    notebook.metadata["fac_lab"] = {"profile": profile, "made_from": made_from(notebook, profile)}
    return notebook


def _run(client: NotebookClient, environment: Mapping[str, str]) -> None:
    try:
        client.execute(env=environment)
    finally:
        # The client closes what it opened with a kernel of its own, and leaves it open with another's.
        if client.kc is not None:
            client.kc.stop_channels()


def slim(notebook: nbformat.NotebookNode) -> None:
    """Take from the outputs what is no result: widget state, progress bars, this machine's paths."""
    notebook.metadata = nbformat.NotebookNode(kernelspec=KERNEL, language_info={"name": "python"})
    here = f"{project_root()}{os.sep}"
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            kept = [output for output in map(_without_bars, cell.outputs) if output is not None]
            cell.outputs = _replaced(kept, here, "")


def build(
    source: Path,
    *,
    profile: str,
    folder: Path | None = None,
    progress: bool = True,
    kernel: AsyncKernelManager | None = None,
) -> Path:
    """Run a source and write `NAME.ipynb` beside it, or into `folder`; ArtifactError where it gets too large."""
    notebook = execute(source, profile=profile, progress=progress, kernel=kernel)
    text = nbformat.writes(notebook) + "\n"
    size = len(text.encode("utf-8"))
    if size > MAX_BYTES:
        largest = max(notebook.cells, key=lambda cell: len(json.dumps(cell.get("outputs", []))))
        raise ArtifactError(
            f"{source.stem}.ipynb would have {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6} MB: show less in "
            f"{largest.id}, whose output is the largest"
        )
    path = (folder or source.parent) / f"{source.stem}.ipynb"
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return path


def drift(source: Path) -> list[str]:
    """What keeps the `.ipynb` from being the run of its source, in words; empty where nothing does."""
    path = source.with_suffix(".ipynb")
    if not path.is_file():
        return [f"{path.name} is not there"]
    try:
        made = nbformat.read(path, as_version=4)
        facts = made.metadata["fac_lab"]
        profile, recorded = facts["profile"], facts["made_from"]
    except (ValueError, KeyError, nbformat.ValidationError) as error:
        return [f"{path.name} was not made by this package ({type(error).__name__}: {_first_line(str(error))})"]
    fresh = read_source(source)
    found = []
    if len(made.cells) != len(fresh.cells):
        found.append(f"{path.name} has {len(made.cells)} cells, {source.name} {len(fresh.cells)}")
    for old, new in zip(made.cells, fresh.cells, strict=False):
        if _content(old) != _content(new):
            found.append(f"{path.name}: {new.id} differs from {source.name}: {_first_line(new.source)}")
    if not found and recorded != made_from(fresh, profile):
        found.append(f"{path.name} was made from another mini world or other settings of profile {profile!r}")
    return found


def take_over_prose(source: Path) -> bool:
    """Bring the words between the code into the `.ipynb`, whose outputs stay; False where nothing was changed.

    Raises ArtifactError where more than words was: then it has to run again.
    """
    if not drift(source):
        return False
    path = source.with_suffix(".ipynb")
    fresh = read_source(source)
    try:
        made = nbformat.read(path, as_version=4)
        facts = made.metadata["fac_lab"]
    except (OSError, ValueError, KeyError, nbformat.ValidationError) as error:
        raise ArtifactError(f"{path.name} cannot be read ({error}): {CURE}") from error
    code = [[_content(cell) for cell in notebook.cells if cell.cell_type == "code"] for notebook in (made, fresh)]
    if code[0] != code[1] or facts["made_from"] != made_from(made, facts["profile"]):
        raise ArtifactError(f"{path.name} differs from its source in more than words: {CURE}")
    outputs = iter([cell for cell in made.cells if cell.cell_type == "code"])
    for cell in fresh.cells:
        if cell.cell_type == "code":
            ran = next(outputs)
            cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
    fresh.metadata["fac_lab"] = {**facts, "made_from": made_from(fresh, facts["profile"])}
    text = nbformat.writes(fresh) + "\n"
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fac_lab.display.notebooks", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="notebooks without suffix (all)")
    parser.add_argument("--check", action="store_true", help="compare sources and notebooks, run nothing")
    parser.add_argument("--prose", action="store_true", help="take over changed words, run nothing")
    parser.add_argument("--profile", default=os.environ.get("FAC_LAB_PROFILE") or "mini", help="(%(default)s)")
    parser.add_argument("--out", type=Path, help="folder of the notebooks (beside their sources)")
    args = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    try:
        chosen = sources(args.names)
        if args.check:
            found = [line for source in chosen for line in drift(source)]
            print("\n".join([*found, CURE] if found else [f"{len(chosen)} notebooks are as their sources"]))
            return 1 if found else 0
        if args.prose:
            for source in chosen:
                if take_over_prose(source):
                    print(source.with_suffix(".ipynb"))
            return 0
        if args.profile == "smoke" and args.out is None:
            raise SettingsError("outputs in the smoke profile are no results to keep: name a folder with --out")
        started = time.monotonic()
        for source in chosen:
            before = time.monotonic()
            path = build(source, profile=args.profile, folder=args.out)
            print(f"{path}, {time.monotonic() - before:.0f} s", flush=True)
        print(f"{len(chosen)} notebooks, {(time.monotonic() - started) / 60:.1f} minutes")
    except FacLabError as error:
        print(f"notebooks: {error}", file=sys.stderr)
        return 2
    return 0


def _content(cell: nbformat.NotebookNode) -> list:
    """What a source decides about a cell."""
    return [cell.cell_type, cell.source, sorted(cell.metadata.get("tags", []))]


def _without_bars(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """The output without widgets that have a static form, and without progress bars, which tqdm shows as a widget
    or as text on stderr; None if that is all."""
    if output.output_type == "stream" and output.name == "stderr":
        lines = re.split(r"[\r\n]", output.text)
        output.text = "\n".join(line for line in lines if line.strip() and not BAR.search(line))
        return output if output.text else None
    data = output.get("data", {})
    if WIDGET in data and "text/html" in data:
        # Nothing is behind a saved widget, so what it brings to be shown in its place is kept alone.
        del data[WIDGET]
    return None if WIDGET in data and BAR.search(str(data.get("text/plain", ""))) else output


def _replaced(value: Any, old: str, new: str) -> Any:
    """`value` with a text replaced in every string below it."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, dict):
        return type(value)({key: _replaced(item, old, new) for key, item in value.items()})
    return [_replaced(item, old, new) for item in value] if isinstance(value, list) else value


def _last_line(error: Exception) -> str:
    """The message of a failed cell, without colours and traceback."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "(empty)")


if __name__ == "__main__":
    sys.exit(main())
