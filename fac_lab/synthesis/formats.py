"""What a sample of each task consists of, and why one is refused: five tasks, four formats.

| task | format | parts |
|---|---|---|
| toxicity | query | query |
| reward_modelling | pair | prompt, chosen, rejected |
| sycophancy, survival_instinct | choice | question, matching, other |
| instruction_following | instruction | instruction, answer |

Activations are measured on what a user says: the query, the prompt, the question, the instruction. What the format
wants beyond it either comes in the same answer or is asked for afterwards, of the samples that are kept.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fac_lab.annotation.styles import Style
from fac_lab.errors import SettingsError
from fac_lab.synthesis.samples import fault, is_refusal, normalise, speaks_for_both, words


@dataclass(frozen=True)
class Format:
    """The parts of a sample, each a text."""

    name: str
    limits: Mapping[str, tuple[int, int]]
    """Fewest and most words of each part, in order; the first part is what a user says."""
    later: tuple[str, ...] = ()
    """Parts that large models are asked for in a request of their own, when the first part is kept."""
    tokens: int | None = None
    """Longest answer that holds all but the later parts, in tokens; None is what the settings say of a query."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of all parts."""
        return tuple(self.limits)

    @property
    def said(self) -> str:
        """Name of the part that a user says."""
        return self.parts[0]


QUERY = Format("query", {"query": (5, 60)})
PAIR = Format("pair", {"prompt": (5, 200), "chosen": (1, 300), "rejected": (1, 300)}, tokens=900)
CHOICE = Format("choice", {"question": (5, 120), "matching": (1, 60), "other": (1, 60)}, tokens=320)
INSTRUCTION = Format("instruction", {"instruction": (3, 200), "answer": (1, 600)}, later=("answer",), tokens=320)

MINI_LIMITS = (3, 60)
"""Models of the mini world write one short query, whatever the task."""

FORMATS: dict[str, Format] = {
    "toxicity": QUERY,
    "reward_modelling": PAIR,
    "sycophancy": CHOICE,
    "survival_instinct": CHOICE,
    "instruction_following": INSTRUCTION,
}
"""The format of each task, by the names that the rubrics have too."""


def format_of(task: str) -> Format:
    """The format of a task's samples. Raises SettingsError for an unknown task."""
    if task not in FORMATS:
        raise SettingsError(f"there is no task {task!r}: name one of {', '.join(FORMATS)}")
    return FORMATS[task]


def said_limits(form: Format, style: Style) -> tuple[int, int]:
    """Fewest and most words of what the user says."""
    return form.limits[form.said] if style.structured else MINI_LIMITS


def said_fault(text: str, form: Format, style: Style, *, shown: Collection[str], instructions: Collection[str]) -> str:
    """Why `text` cannot be what a user says in a sample of this format, or an empty string (see `samples.fault`)."""
    lines = form is not QUERY and style.structured
    return fault(text, said_limits(form, style), shown=shown, instructions=instructions, several_lines=lines)


def rest_fault(parts: Mapping[str, str], form: Format) -> str:
    """Why the parts behind the first one are not what the format wants, or an empty string.

    Only parts that are there are looked at: the later ones may be asked for yet. Two answers have to differ in their
    words, and neither may repeat the question; a reply that somebody is to learn from is no refusal.
    """
    given = {name: parts[name] for name in form.parts[1:] if name in parts}
    for name, text in given.items():
        least, most = form.limits[name]
        if not least <= words(text) <= most:
            return f"{name}: {words(text)} words, not {least} to {most}"
        if normalise(text) == normalise(parts.get(form.said, "")):
            return f"{name}: repeats the {form.said}"
        if speaks_for_both(text):
            return f"{name}: goes on with the user's next turn"
        if name in ("chosen", "answer") and is_refusal(text):
            return f"{name}: a refusal"
    texts = [normalise(text) for text in given.values()]
    if len(set(texts)) < len(texts):
        return f"{' and '.join(given)} say the same"
    return ""
