"""The notebooks are as their sources, and run; and what makes them does what it says."""

import asyncio
import os
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager

from fac_lab.display import notebooks
from fac_lab.errors import ArtifactError, FacLabError, SettingsError
from fac_lab.profile import project_root

SOURCES = notebooks.sources()
SOURCE = """# %% [markdown]
# # A title

# %%
import os, sys
import numpy as np
import fac_lab
print(os.environ["FAC_LAB_PROFILE"], fac_lab.__name__)

# %% tags=["keep"]
import plotly.graph_objects as go
from tqdm.auto import tqdm
for _ in tqdm(range(3)):
    pass
for _ in tqdm(iter(range(3)), unit=" samples"):
    pass
print("a warning", file=sys.stderr)
go.Figure(go.Bar(y=[1, 2]))
"""


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "tiny.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def kernel():
    """One for all notebooks that are run here: what they import takes longer than what they do in small."""
    manager = AsyncKernelManager(kernel_name=notebooks.KERNEL["name"])
    yield manager
    asyncio.run(manager.shutdown_kernel(now=True))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> nbformat.NotebookNode:
    path = tmp_path_factory.mktemp("made") / "tiny.py"
    path.write_text(SOURCE, encoding="utf-8")
    return notebooks.execute(path, profile="smoke", progress=False)


def write(notebook: nbformat.NotebookNode, source: Path) -> None:
    source.with_suffix(".ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")


def test_a_run_keeps_results_and_leaves_bars_and_libraries_out(made):
    nbformat.validate(made)
    printed, shown = made.cells[1].outputs, made.cells[2].outputs
    assert printed[0].text == "smoke fac_lab\n"
    assert [output.text for output in shown if output.output_type == "stream"] == ["a warning"]
    (figure,) = [output for output in shown if output.output_type != "stream"]
    assert "application/vnd.plotly.v1+json" in figure.data
    assert len(nbformat.writes(made)) < 60_000
    assert "widgets" not in made.metadata and str(Path.home()) not in nbformat.writes(made)


def test_a_widget_is_saved_as_the_static_form_it_brings():
    widget, table = {"model_id": "x"}, "<table></table>"
    both = nbformat.v4.new_output("display_data", {notebooks.WIDGET: widget, "text/html": table, "text/plain": "Box()"})
    alone = nbformat.v4.new_output("display_data", {notebooks.WIDGET: widget, "text/plain": "Box()"})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("show", outputs=[both, alone])])
    notebooks.slim(notebook)
    kept, left = notebook.cells[0].outputs
    assert kept.data == {"text/html": table, "text/plain": "Box()"}
    assert left.data == {notebooks.WIDGET: widget, "text/plain": "Box()"}


def test_a_fresh_run_does_not_drift(made, source):
    write(made, source)
    assert notebooks.drift(source) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("print(os", "print(1, os", "cell-1 differs"),
        ("# A title", "# Another title", "cell-0 differs"),
        ('"keep"', '"keep", "more"', "cell-2 differs"),
        ("# %% tags", "# %%\n1 + 1\n\n# %% tags", "has 3 cells, tiny.py 4"),
    ],
)
def test_a_changed_source_is_drift(made, source, old, new, said):
    write(made, source)
    source.write_text(SOURCE.replace(old, new), encoding="utf-8")
    assert any(said in line for line in notebooks.drift(source))


def test_changed_outputs_are_no_drift_but_another_world_or_profile_is(made, source, tmp_path, monkeypatch):
    changed = nbformat.reads(nbformat.writes(made), as_version=4)
    changed.cells[1].outputs = []
    write(changed, source)
    assert notebooks.drift(source) == []
    world = tmp_path / "home" / "data" / "mini"
    world.mkdir(parents=True)
    (world / "manifest.json").write_text('{"models": "others"}')
    monkeypatch.setenv("FAC_LAB_HOME", str(tmp_path / "home"))
    assert any("another mini world" in line for line in notebooks.drift(source))
    monkeypatch.delenv("FAC_LAB_HOME")
    changed.metadata["fac_lab"]["profile"] = "mini"
    write(changed, source)
    assert any("settings of profile 'mini'" in line for line in notebooks.drift(source))


def test_missing_and_foreign_notebooks_are_drift(source):
    assert notebooks.drift(source) == ["tiny.ipynb is not there"]
    source.with_suffix(".ipynb").write_text("{}")
    assert "was not made by this package" in notebooks.drift(source)[0]


def test_a_failing_cell_is_named_and_nothing_is_written(source):
    source.write_text('# %%\n1\n\n# %%\nraise ValueError("no such feature")\n', encoding="utf-8")
    with pytest.raises(FacLabError, match=r"tiny.py, cell-1, profile smoke: ValueError: no such feature"):
        notebooks.build(source, profile="smoke", progress=False)
    assert not source.with_suffix(".ipynb").exists()


def test_a_notebook_too_large_to_commit_is_refused(source, monkeypatch, made):
    monkeypatch.setattr(notebooks, "execute", lambda *_, **__: made)
    monkeypatch.setattr(notebooks, "MAX_BYTES", 1000)
    with pytest.raises(ArtifactError, match="show less in cell-2"):
        notebooks.build(source, profile="smoke")


def test_command_line_names_the_cure(monkeypatch, source, capsys):
    monkeypatch.setattr(notebooks, "sources", lambda names: [source])
    assert notebooks.main(["--check"]) == 1
    assert "run `make notebooks`" in capsys.readouterr().out
    assert notebooks.main(["--profile", "smoke"]) == 2
    assert "--out" in capsys.readouterr().err


def test_an_unknown_notebook_is_refused_with_those_that_exist(source):
    with pytest.raises(SettingsError, match="there are: tiny"):
        notebooks.sources(["tinny"], source.parent)


def test_paths_of_this_machine_become_relative(made):
    notebook = nbformat.reads(nbformat.writes(made), as_version=4)
    here = f"{project_root()}{os.sep}data{os.sep}mini"
    notebook.cells[1].outputs[0].text = f"read {here}"
    notebooks.slim(notebook)
    assert notebook.cells[1].outputs[0].text == f"read data{os.sep}mini"


def test_a_shared_kernel_forgets_names_and_keeps_imports(source, kernel):
    source.write_text("# %%\nprint('mine' in globals())\nmine = 1\n", encoding="utf-8")
    for _ in range(2):
        (cell,) = notebooks.execute(source, profile="smoke", progress=False, kernel=kernel).cells
        assert cell.outputs[0].text == "False\n"


def test_changed_words_are_taken_over_and_nothing_else_is(made, source):
    write(made, source)
    assert not notebooks.take_over_prose(source)
    source.write_text(SOURCE.replace("# # A title", "# # Another\n#\n# More words.\n\n# %% [markdown]\n# And more."))
    assert notebooks.drift(source) and notebooks.take_over_prose(source) and not notebooks.drift(source)
    taken = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    assert [cell.outputs for cell in taken.cells if cell.cell_type == "code"] == [
        cell.outputs for cell in made.cells if cell.cell_type == "code"
    ]
    source.write_text(SOURCE.replace("print(os", "print(1, os"))
    with pytest.raises(ArtifactError, match="more than words"):
        notebooks.take_over_prose(source)


def test_there_are_notebooks():
    assert SOURCES


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_notebook_is_the_run_of_its_source(source):
    assert notebooks.drift(source) == [], notebooks.CURE


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_notebook_runs_in_the_smoke_profile(source, tmp_path, kernel):
    committed = source.with_suffix(".ipynb")
    before = committed.read_bytes()
    assert notebooks.build(source, profile="smoke", folder=tmp_path, progress=False, kernel=kernel).exists()
    assert committed.read_bytes() == before
