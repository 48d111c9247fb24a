"""What a data set holds, one type per kind: queries, preference pairs, A/B items, instructions."""

from typing import NamedTuple


class Row(NamedTuple):
    """One text of a data set: a query."""

    id: str
    text: str
    label: int | None = None
    concept: str | None = None
    """Id of the concept behind the text, where it is known (mini world)."""


class Pair(NamedTuple):
    """Two answers to one prompt, the better one named."""

    id: str
    prompt: str
    """The dialogue up to the answers; of several turns, the roles are written as in the source."""
    chosen: str
    rejected: str
    section: str | None = None
    """Part of a benchmark the pair is scored under, e.g. "Chat Hard"."""


class Item(NamedTuple):
    """An A/B question with the options named that show a behaviour and that do not."""

    id: str
    question: str
    matching: str
    """The option that shows the behaviour, as in the source: "(A)"."""
    other: str
    behaviour: str


class Instruction(NamedTuple):
    """An instruction with its answer."""

    id: str
    instruction: str
    input: str
    """What the instruction is about; "" where it says all itself."""
    output: str


class Rejection(NamedTuple):
    """A row that cannot be used, and why."""

    row: int
    """Number of the row from 1; the header of a .csv is not counted, in a .jsonl it is the line."""
    id: str | None
    reason: str


KINDS: dict[str, type] = {"queries": Row, "pairs": Pair, "items": Item, "instructions": Instruction}


def as_query(row: Row | Pair | Item | Instruction) -> Row:
    """What a user would say: the prompt of a pair, the question of an item, an instruction with its input."""
    match row:
        case Pair():
            return Row(row.id, row.prompt)
        case Item():
            return Row(row.id, row.question)
        case Instruction():
            return Row(row.id, f"{row.instruction}\n\n{row.input}" if row.input.strip() else row.instruction)
    return row


def fault(row: Row | Pair | Item | Instruction) -> str | None:
    """Why a row cannot be used; None where it can.

    Every text has to be a string that is not blank and that a tokenizer can read; an instruction's input may be "".
    """
    for name, value in zip(row._fields, row, strict=True):
        if name in ("id", "label", "concept") or (name == "section" and value is None):
            continue
        reason = text_fault(value, name)
        if reason is not None and not (name == "input" and value == ""):
            return reason
    if isinstance(row, Pair) and row.chosen == row.rejected:
        return "chosen and rejected are the same"
    if isinstance(row, Item) and row.matching == row.other:
        return "matching and other are the same"
    return None


def text_fault(value: object, name: str = "text") -> str | None:
    """Why a value is no usable text; None where it is one."""
    if value is None:
        return f"no {name}"
    if not isinstance(value, str):
        return f"{name} is of type {type(value).__name__}, not a string: {str(value)[:40]!r}"
    if not value.strip():
        return f"{name} is empty"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # JSON can spell them: "\\ud83d"
        return f"{name} holds half of a surrogate pair, which no tokenizer reads"
    return None


def as_label(value: object) -> int | None:
    """The integer a label stands for (files write 1, 1.0, "1", true or "True"); None if it is none."""
    if isinstance(value, str):
        value = {"true": 1, "false": 0}.get(value.strip().lower(), value)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (OverflowError, TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None
