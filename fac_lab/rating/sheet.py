"""The rating sheet: what raters see, and nothing else.

Blind by construction: an item holds only what is shown. Verdict, arm, model, whether a summary is the feature's own:
all that goes into the **key**, which the maker of the sheet keeps, and which raters' files never hold. Items have
numbers of their own that say nothing, and every rater gets them in another order.
"""

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fac_lab.atomic import write_atomic
from fac_lab.digests import digest
from fac_lab.errors import ArtifactError, DataError, SettingsError
from fac_lab.features.spans import Span
from fac_lab.parse import parse_json
from fac_lab.plain import nearest

SHOWN_SPANS = 10
"""Spans per feature, as in the paper's protocol."""
MAX_OPTIONS = 9
"""Each has a key of one digit."""

Key = dict[str, dict[str, Any]]
"""What raters must not see, by item."""


class Excerpt(NamedTuple):
    """A span as it is shown: without its activation."""

    text: str
    peak: tuple[int, int]
    """Characters `[start, stop)` of `text` that are marked, as in `Span`."""


@dataclass(frozen=True)
class Question:
    """One question with its answers."""

    name: str
    about: str
    """Kind of items it is for: "feature" or "sample"."""
    text: str
    options: tuple[str, ...]
    """Possible answers, in the order of their keys 1, 2, 3 ..."""
    otherwise: str
    """The option for items on which raters differ."""
    rubric: str = ""
    """The task's rubric where the question is about one; shown with it."""


@dataclass(frozen=True)
class Item:
    """A feature or a sample, as raters see it."""

    id: str
    about: str
    """"feature" or "sample"."""
    summary: str
    """The feature's; "" for a sample that was written for none."""
    excerpts: tuple[Excerpt, ...] = ()
    """A feature's, strongest first."""
    text: str = ""
    """A sample's."""


@dataclass(frozen=True)
class Sheet:
    """Items and questions, the items in an order that says nothing; raters see `order(rater)`."""

    name: str
    items: tuple[Item, ...]
    questions: tuple[Question, ...]
    seed: int = 0

    @cached_property
    def digest(self) -> str:
        """Identifies items, questions and order: answers belong to one sheet."""
        return digest(self.items, self.questions, self.seed)

    def order(self, rater: str) -> list[Item]:
        """The items in this rater's order: random by seed and rater, the same whenever asked."""
        return sorted(self.items, key=lambda item: digest(self.seed, rater_id(rater), item.id))

    def question(self, name: str) -> Question:
        """A question by its name."""
        found = {question.name: question for question in self.questions}
        if name not in found:
            raise SettingsError(f"sheet {self.name} asks no question {name!r}, only {', '.join(found)}")
        return found[name]

    def save(self, path: Path) -> Path:
        """Write the sheet as JSON, for raters at another machine; it holds nothing of the key."""
        text = json.dumps({"digest": self.digest, **asdict(self)}, indent=1) + "\n"
        write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        return path

    @classmethod
    def load(cls, path: Path) -> "Sheet":
        """Read what `save` wrote. ArtifactError for anything else, and for a sheet that was edited."""
        try:
            values = parse_json(Path(path).read_text(encoding="utf-8"))
            sheet = cls(
                values["name"],
                tuple(Item(**{**item, "excerpts": _excerpts(item["excerpts"])}) for item in values["items"]),
                tuple(Question(**{**asked, "options": tuple(asked["options"])}) for asked in values["questions"]),
                values["seed"],
            )
            recorded = values["digest"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is not a rating sheet ({error}); ask its maker to save it again") from error
        if sheet.digest != recorded:
            raise ArtifactError(f"{path} was changed after it was saved: answers to it would fit no other copy")
        return sheet


def rater_id(name: str) -> str:
    """What makes two spellings of a rater's name the same: case and spaces do not count.

    DataError for a name that is empty, longer than 80 characters, or that no file can hold.
    """
    words = " ".join(name.split()).casefold() if isinstance(name, str) else ""
    if not 0 < len(words) <= 80 or not words.isprintable():
        raise DataError(f"a rater needs a name of 1 to 80 printable characters, not {str(name)[:90]!r}")
    return words


def load_questions(names: Sequence[str], *, rubric: str = "") -> tuple[Question, ...]:
    """Questions of `questions.yaml` by name; `rubric` is the task's, for those that ask about it."""
    known = yaml.safe_load((Path(__file__).parent / "questions.yaml").read_text(encoding="utf-8"))
    found = []
    for name in names:
        if name not in known:
            raise SettingsError(f"there is no question {name!r}{nearest(name, known)}; there are: {', '.join(known)}")
        values = known[name]
        if values.get("rubric") and not rubric.strip():
            raise SettingsError(f"question {name!r} is about a task: give its rubric")
        found.append(
            Question(
                name,
                values["about"],
                values["text"],
                tuple(values["options"]),
                values["otherwise"],
                rubric.strip() if values.get("rubric") else "",
            )
        )
    return tuple(found)


def feature_sheet(
    name: str,
    labels: Iterable[Mapping[str, Any]],
    spans: Callable[[int], Sequence[Span]],
    questions: Sequence[Question],
    *,
    seed: int = 0,
    decoys: int = 0,
) -> tuple[Sheet, Key]:
    """A sheet of features and its key.

    `labels` are mappings with `feature`, `summary` and whatever else, all of which goes into the key; features
    without a summary are left out. `decoys` of them, drawn by `seed`, are shown under the summary of another feature:
    a rater who looks says "no" to these. The key has `decoy` and, there, `own_summary`. DataError where a feature
    comes twice, or where no other summary is to be had.
    """
    named = [dict(label) for label in labels if isinstance(label["summary"], str) and label["summary"].strip()]
    features = [int(label["feature"]) for label in named]
    if len(set(features)) < len(features):
        raise DataError("a feature comes twice in the labels: give each one once, so that each is rated once")
    if not 0 <= decoys <= len(named):
        raise DataError(f"{decoys} decoys among {len(named)} named features: ask for fewer, or name more features")
    dice = random.Random(f"{seed}/decoys")
    swapped = set(dice.sample(features, decoys))
    items, key = [], {}
    for feature, label in zip(features, named, strict=True):
        summary = label["summary"]
        facts = {**label, "feature": feature, "decoy": feature in swapped}
        if feature in swapped:
            others = sorted({other["summary"] for other in named} - {summary})
            if not others:
                raise DataError("every feature has the same summary, so none can be shown under another's: no decoys")
            facts["own_summary"], summary = summary, dice.choice(others)
            facts["summary"] = summary
        item_id = digest(seed, "feature", feature)[:12]
        items.append(Item(item_id, "feature", summary, _excerpts(spans(feature)[:SHOWN_SPANS])))
        key[item_id] = facts
    return _sheet(name, items, questions, seed), key


def sample_sheet(
    name: str, samples: Iterable[Mapping[str, Any]], questions: Sequence[Question], *, seed: int = 0
) -> tuple[Sheet, Key]:
    """A sheet of samples and its key. `samples` are mappings with `text`, `summary` (or none) and whatever else (arm,
    model, activation), all of which goes into the key."""
    items, key = [], {}
    for number, sample in enumerate(samples):
        item_id = digest(seed, "sample", number, sample["text"])[:12]
        items.append(Item(item_id, "sample", sample.get("summary") or "", text=sample["text"]))
        key[item_id] = dict(sample)
    return _sheet(name, items, questions, seed), key


def _sheet(name: str, items: Sequence[Item], questions: Sequence[Question], seed: int) -> Sheet:
    if not questions:
        raise SettingsError(f"sheet {name} asks nothing: name at least one question")
    for question in questions:
        if len(set(question.options)) < len(question.options) or not 1 < len(question.options) <= MAX_OPTIONS:
            raise SettingsError(f"question {question.name!r} needs 2 to {MAX_OPTIONS} options that differ")
        if question.otherwise not in question.options:
            raise SettingsError(f"question {question.name!r}: `otherwise` is {question.otherwise!r}, not an option")
        misfit = next((item for item in items if item.about != question.about), None)
        if misfit is not None:
            raise SettingsError(f"question {question.name!r} is about a {question.about}, the sheet of {misfit.about}s")
        if question.name == "fits" and not all(item.summary for item in items):
            raise DataError("question 'fits' compares a text with a description, and some samples have none")
    # By their ids, which are random: the order of making, often by verdict, would tell.
    return Sheet(name, tuple(sorted(items, key=lambda item: item.id)), tuple(questions), seed)


def _excerpts(spans: Iterable[Any]) -> tuple[Excerpt, ...]:
    pairs = ((span.text, span.peak) if isinstance(span, Span) else span for span in spans)
    return tuple(Excerpt(text, (int(start), int(stop))) for text, (start, stop) in pairs)
