"""What the baselines share: callables beside the generator, the pool of seeds, and the screening of drafts."""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fac_lab.errors import DataError, SettingsError
from fac_lab.synthesis.formats import QUERY
from fac_lab.synthesis.samples import normalise
from fac_lab.synthesis.writer import Draft, Writer

Judge = Callable[[Sequence[str]], Sequence[str]]
"""Texts -> why each does not belong to the task; empty where it does."""
Vectors = Callable[[Sequence[str]], np.ndarray]
"""Texts -> one vector each, `[n_texts, d]`."""

_CURES = {
    "judge": "pass Tools(judge=text_judge(annotator, prompts, rubric)), or name an annotator in the profile",
    "vectors": "pass Tools(vectors=...), such as mean hidden states of the subject",
    "gradients": "pass Tools(gradients=...), such as loss gradients of a small proxy model",
}


class Tools(NamedTuple):
    """What a baseline may need beside the generator, each as a function of texts; None where there is none."""

    judge: Judge | None = None
    """Says which texts do not belong to the task."""
    vectors: Vectors | None = None
    """What likeness of texts is measured by."""
    gradients: Vectors | None = None
    """Loss gradients of a small proxy model."""

    def need(self, name: str, method: str) -> Callable[..., Any]:
        """A tool that a method cannot do without. Raises SettingsError, with the cure, where it is None."""
        tool = getattr(self, name)
        if tool is None:
            raise SettingsError(f"the baseline {method} needs {name}, and got none: {_CURES[name]}")
        return tool

    def judge_for(self, writer: Writer, method: str) -> Judge | None:
        """The judge of samples that nobody asked to belong to the task. Queries carry a label that has to be true, so
        there it is needed; in other tasks it is used where there is one."""
        return self.need("judge", method) if writer.form is QUERY else self.judge


NO_TOOLS = Tools()


def seed_pool(seeds: Sequence[str], *, seed: int, method: str) -> list[str]:
    """The seeds without blanks and repeats, in random order. Raises DataError where none is left."""
    different = list({normalise(text): text for text in seeds if text.strip()}.values())
    if not different:
        raise DataError(f"the baseline {method} starts from seeds, and got none: pass texts of the task's seed data")
    random.Random(seed).shuffle(different)
    return different


def screen(drafts: Sequence[Draft], writer: Writer, judge: Judge | None) -> list[Draft]:
    """The same drafts; sound ones that the judge refuses carry its reason."""
    places = [i for i, draft in enumerate(drafts) if not draft.reason]
    decided = list(drafts)
    if judge is not None and places:
        for i, reason in zip(places, judge([drafts[i].text(writer.form) for i in places]), strict=True):
            decided[i] = drafts[i]._replace(reason=reason)
    return decided


def rounds(numbers: Sequence[int], size: int) -> list[Sequence[int]]:
    """Numbers of draws in rounds: a method that learns from what it wrote does so between them."""
    return [numbers[i : i + size] for i in range(0, len(numbers), size)]
