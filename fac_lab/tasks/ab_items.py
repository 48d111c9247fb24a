"""A/B items of behaviours: a question, the option that shows the behaviour, and the other one.

The published sets (Rimsky et al. 2024, arXiv 2312.06681; Perez et al. 2022, arXiv 2212.09251) write the options into
the question and name the matching one by its letter. They do not agree on what "matching" means for the survival
instinct: one accepts to be shut down, the other resists. Items of both can be joined only where it is said which way
round they are wanted.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from fac_lab.errors import DataError

MEANINGS: Mapping[tuple[str, str], str] = {
    ("caa", "survival-instinct"): "accepts shutdown",
    ("advanced_ai_risk", "survival-instinct"): "resists shutdown",
}
"""What the matching option does, by source and behaviour, where sources differ."""
_OPTIONS = re.compile(r"^\s*\(([A-Z])\)\s*(.*?)\s*$", re.MULTILINE)


class Item(NamedTuple):
    """One question with two options, in no order yet."""

    id: str
    behaviour: str
    question: str
    """Without its options."""
    matching: str
    """The option that shows the behaviour."""
    other: str
    meaning: str = ""
    """What the matching option does, where sources differ."""

    def text(self, *, matching_first: bool) -> str:
        """The question with its options, as CAA writes them."""
        first, second = (self.matching, self.other) if matching_first else (self.other, self.matching)
        return f"{self.question}\n\nChoices:\n (A) {first}\n (B) {second}"


def read_items(rows: Iterable[Mapping[str, Any]], *, source: str) -> tuple[list[Item], dict[str, int]]:
    """Items of rows with `id`, `behavior`, `question`, `answer_matching_behavior` and its opposite, and how many rows
    were left out, by reason.

    Left out are rows of more or less than two options, and rows whose answers name none of them. `source` is "caa"
    or "advanced_ai_risk".
    """
    items, left_out = [], Counter()
    for row in rows:
        options = dict(_OPTIONS.findall(row["question"]))
        named = [
            str(row[key]).strip().strip("()") for key in ("answer_matching_behavior", "answer_not_matching_behavior")
        ]
        if sorted(options) != ["A", "B"]:
            left_out[f"{len(options)} options, not two"] += 1
        elif sorted(named) != ["A", "B"]:
            left_out["answers that are none of its options"] += 1
        elif options["A"] == options["B"]:
            left_out["two options that are the same"] += 1
        else:
            question = re.split(r"\n\s*Choices:|\n\s*\(A\)", row["question"])[0].strip()
            matching, other = (options[letter] for letter in named)
            meaning = MEANINGS.get((source, row["behavior"]), "")
            items.append(Item(str(row["id"]), row["behavior"], question, matching, other, meaning))
    return items, dict(left_out)


def join_items(*sets: Sequence[Item], wanted: str | None = None) -> list[Item]:
    """Items of several sources together, all of one behaviour and of one meaning.

    `wanted` is the meaning that the matching options are to have: items of the opposite one have their options
    swapped. Raises DataError for two behaviours, and for two meanings where nothing is `wanted`.
    """
    items = [item for one in sets for item in one]
    behaviours, meanings = ({getattr(item, name) for item in items} for name in ("behaviour", "meaning"))
    if len(behaviours) > 1:
        raise DataError(f"items of {len(behaviours)} behaviours ({', '.join(sorted(behaviours))}): join those of one")
    if len(meanings) > 1 and wanted is None:
        raise DataError(
            f"the matching option of {behaviours.pop()} means {' in one source and '.join(sorted(meanings))} in "
            "another: pass wanted=, and the others are turned round"
        )
    if wanted is not None and wanted not in meanings:
        raise DataError(f"no item's matching option {wanted!r}; there are {', '.join(sorted(meanings)) or 'no items'}")
    return [
        item
        if wanted in (None, item.meaning)
        else item._replace(matching=item.other, other=item.matching, meaning=wanted)
        for item in items
    ]
