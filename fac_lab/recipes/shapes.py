"""How the records of public data sets become rows: columns, first turns, pairs of transcripts, rated answers."""

import os
import re
from collections.abc import Mapping
from typing import Any

from fac_lab.recipes.catalogue import DataFile, Recipe
from fac_lab.rows import KINDS, Instruction, Item, Pair, Row, as_label

AnyRow = Row | Pair | Item | Instruction


class Unusable(Exception):
    """A record that is no row of its kind."""


def as_row(recipe: Recipe, file: DataFile, number: int, record: Mapping[str, Any]) -> AnyRow:
    """The row a record stands for; its texts are not checked (`rows.fault` does). Raises Unusable."""
    fields = {name: record[column] for name, column in recipe.columns.items()} | dict(file.set or {})
    if recipe.shape == "first_turn":
        fields["text"] = first_turn(fields.get("text"))
    elif recipe.shape == "transcripts":
        fields["prompt"], fields["chosen"], fields["rejected"] = split_transcripts(
            fields.get("chosen"), fields.get("rejected")
        )
    elif recipe.shape == "strength":
        fields |= by_strength(fields.pop("strength"), fields.pop("first"), fields.pop("second"))
    if recipe.values is not None:
        if fields["section"] not in recipe.values:
            raise Unusable(f"section {fields['section']!r} is not listed in the recipe")
        fields["section"] = recipe.values[fields["section"]]
    if recipe.kind == "instructions":
        fields["input"] = fields.get("input") or ""
    if fields.get("label") is not None:
        label = as_label(fields["label"])
        if label is None:
            raise Unusable(f"label {fields['label']!r} is not an integer")
        fields["label"] = label
    fields["id"] = str(fields["id"]) if fields.get("id") not in (None, "") else f"{file.id or 'row'}-{number}"
    return KINDS[recipe.kind](**fields)


def first_turn(dialogue: Any) -> str | None:
    """The user's first turn of a dialogue in any of the forms the hub has; None where there is none.

    A list of turns with role and content (or from and value); a text with blank lines and "Human:" or "Assistant:"
    before its turns (HH-RLHF) or "<extra_id_1>" between them (HelpSteer2); any other text is one turn.
    """
    if isinstance(dialogue, str):
        head, human, rest = dialogue.partition("\n\nHuman:")
        turn = rest if human and not head.strip() else dialogue
        return re.split(r"\n\n(?:Assistant|Human):|<extra_id_1>", turn, maxsplit=1)[0].strip()
    for turn in dialogue or ():
        if isinstance(turn, Mapping) and (turn.get("role") or turn.get("from")) in ("user", "human"):
            return turn.get("content") or turn.get("value")
    return None


def split_transcripts(chosen: Any, rejected: Any) -> tuple[str, str, str]:
    """(prompt, chosen, rejected) of two HH-RLHF dialogues; the answers begin at the assistant's turn they part in.

    As a rule that is the last turn, whose mark "Assistant:" ends the prompt; where it is an earlier one, both answers
    hold all that follows.
    """
    if not (isinstance(chosen, str) and isinstance(rejected, str)):
        raise Unusable("chosen or rejected is no text")
    mark = "\n\nAssistant:"
    shared = len(os.path.commonprefix([chosen, rejected]))
    begin = chosen.rfind(mark, 0, shared)
    if begin < 0:
        raise Unusable("chosen and rejected do not share a dialogue up to an answer")
    cut = begin + len(mark)
    return chosen[:cut], chosen[cut:].strip(), rejected[cut:].strip()


def by_strength(strength: Any, first: Any, second: Any) -> dict[str, Any]:
    """Chosen and rejected of two answers: above 0 the second is better, below 0 the first. Raises Unusable at 0."""
    if not isinstance(strength, int | float) or strength == 0:
        raise Unusable(f"strength {strength!r} prefers neither answer")
    return {"chosen": second, "rejected": first} if strength > 0 else {"chosen": first, "rejected": second}
