"""What the paper leaves open, what this workbench chose, and what each choice was measured to change.

The questions are facts about the paper and its authors' code, read in both: `choices.yaml`.
"""

from pathlib import Path
from typing import NamedTuple

import yaml

from fac_lab.display.effects import EFFECTS
from fac_lab.errors import ArtifactError


class Choice(NamedTuple):
    """One thing that was open."""

    point: int
    """Which of the seven points it belongs to."""
    question: str
    """What is open, contradictory or broken."""
    chosen: str
    """What we do unless told otherwise."""
    setting: str
    """The profile setting, data protocol or argument that decides it."""
    notebook: str
    """Where it is looked at: stem of a notebook, and a section."""
    effect: str
    """Which of `EFFECTS` says what it was measured to change."""

    def measured(self) -> str:
        """What it was measured to change, in words, or how to measure it where its result is not stored."""
        try:
            return EFFECTS[self.effect]()
        except ArtifactError as error:
            return f"not stored here: {str(error).rpartition('; ')[2]}"


CHOICES = tuple(
    Choice(**entry) for entry in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
)


def link(notebook: str) -> str:
    """Markdown that leads to a notebook from one beside it: "05_two_step_synthesis 10" -> 05, section 10."""
    stem, _, section = notebook.partition(" ")
    number, _, words = stem.partition("_")
    where = f", section {section}" if section else ""
    return f"[{number} · {words.replace('_', ' ')}{where}]({stem}.ipynb)"


def as_markdown(point: int) -> str:
    """The choices of one point as a list: what is open, what was chosen, the setting, where to look, what changed."""
    lines = []
    for choice in CHOICES:
        if choice.point == point:
            lines += [
                f"- **{choice.question}**",
                f"    - chosen: {choice.chosen}",
                f"    - setting: `{choice.setting}` · {link(choice.notebook)}",
                f"    - measured: {choice.measured()}",
            ]
    return "\n".join(lines)
