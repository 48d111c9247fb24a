"""Every notebook of the series has what a reader of any of them may count on."""

import re
from pathlib import Path

import pytest

from fac_lab.display import notebooks

SERIES = (
    "00_start_here",
    "01_sae_loading",
    "02_feature_annotation",
    "03_fac_and_performance",
    "04_missing_feature_browser",
    "05_two_step_synthesis",
    "06_toxicity_detection",
    "07_reward_modelling",
    "08_behaviour_steering",
    "09_instruction_following",
    "10_main_table",
    "11_sensitivity",
    "12_transfer",
    "13_human_evaluation",
    "14_theory",
    "15_reading_group",
    "16_paper_scale",
)
SOURCES = notebooks.sources()
LINK = re.compile(r"\]\(([^)\s]+?\.ipynb)(?:#[^)]*)?\)")


def prose(source: Path) -> str:
    """The words between the code, joined."""
    return "\n\n".join(c.source for c in notebooks.read_source(source).cells if c.cell_type == "markdown")


def named(text: str, word: str) -> str | None:
    """The notebook that the last "**word**" links to."""
    found = re.findall(rf"\*\*{word}:?\*\*\s*\[[^\]]*\]\(([^)]+)\.ipynb\)", text)
    return found[-1] if found else None


def test_the_series_is_complete():
    assert tuple(source.stem for source in SOURCES) == SERIES


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
class TestEveryNotebook:
    def test_says_what_the_reader_will_do_and_asks_for_predictions(self, source):
        text = prose(source)
        assert "**You will**" in text.split("\n## ")[0], "objectives stand before the first section"
        assert "✎" in text, "something is to be predicted before it is run"

    def test_has_exercises_with_folded_solutions(self, source):
        text = prose(source)
        exercises = re.findall(r"^### Exercise (\d+)", text, re.MULTILINE)
        solutions = re.findall(r"<details><summary>Solution (\d+)</summary>(.*?)</details>", text, re.DOTALL)
        assert exercises and exercises == [number for number, _ in solutions]
        assert all(len(body.split()) >= 8 for _, body in solutions)
        assert text.count("<details>") == text.count("</details>")

    def test_leads_to_its_neighbours(self, source):
        place, text = SERIES.index(source.stem), prose(source)
        assert named(text, "Previous") == (SERIES[place - 1] if place else None)
        assert named(text, "Next") == (SERIES[place + 1] if place + 1 < len(SERIES) else None)

    def test_links_to_notebooks_of_the_series_only(self, source):
        links = LINK.findall(prose(source))
        assert {Path(link).stem for link in links} <= set(SERIES) and not [link for link in links if "/" in link]

    def test_contents_name_its_sections(self, source):
        text = prose(source)
        anchors = re.findall(r"\]\((#[^)]*)\)", re.sub(r"\s+", " ", text))
        sections = {"#" + re.sub(r"\s", "-", title.strip()) for title in re.findall(r"^## (.*)$", text, re.MULTILINE)}
        assert [anchor for anchor in anchors if anchor not in sections] == []
