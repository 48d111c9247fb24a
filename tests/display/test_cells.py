"""What cells of notebooks show, read back from what IPython was given."""

import pandas as pd
import pytest

from fac_lab.display import cells
from fac_lab.studies.stored import read_result, write_result


@pytest.fixture
def shown(monkeypatch):
    """The HTML of all that was displayed."""
    pages = []
    monkeypatch.setattr(cells, "display", lambda page: pages.append(page.data))
    return pages


def test_tables_and_folds_escape_what_they_are_given(shown):
    cells.show(pd.DataFrame({"<i>": ["<script>alert(1)</script>"]}), caption="a < b")
    cells.show(pd.DataFrame({"n_missing": [0.5]}), "", {"n_missing": ".0%"})
    assert "<th" in shown[1] and "n missing" in shown[1] and "50%" in shown.pop(1)
    cells.fold("x & y", "</pre><script>alert(2)</script>")
    assert "<script>" not in "".join(shown)
    assert "&lt;script&gt;alert(1)" in shown[0] and "a &lt; b" in shown[0]
    assert "&lt;script&gt;alert(2)" in shown[1] and "<summary>x &amp; y</summary>" in shown[1]


def test_a_stored_result_says_where_it_comes_from(tmp_path, monkeypatch, capsys):
    frame = pd.DataFrame({"held_out_set": [0, 0, 1], "seed": [0, 42, 43], "auprc": [0.1, 0.2, 0.3]})
    facts = {"profile": {"name": "mini"}, "unfinished": "2 cells of 5"}
    write_result("tiny", frame, facts, tmp_path)
    write_result("bare", frame[["auprc"]], {}, tmp_path)
    monkeypatch.setattr(cells, "read_result", lambda name: read_result(name, tmp_path))
    assert cells.stored("tiny").equals(frame)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("stored: tiny, profile mini, 2 held-out sets, 2 training seeds, 20")
    assert said[1] == "not finished: 2 cells of 5"
    assert list(cells.stored("bare")) == ["auprc"]
    assert capsys.readouterr().out.startswith("stored: bare, 20")


def test_an_absent_result_names_the_command(capsys):
    assert cells.stored("no_such_study") is None
    assert capsys.readouterr().out == (
        "not stored here: no_such_study (run: python -m fac_lab.studies.results no_such_study)\n"
    )
