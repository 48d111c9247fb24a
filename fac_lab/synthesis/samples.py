"""Samples, the checks a candidate has to pass, and the choice among those that pass.

Nothing is dropped in silence: a candidate that is not kept says why.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

LEAK_WORDS = 4
"""A prompt's line of at least so many words that turns up in a text was leaked, not written."""
NEAR = 0.7
"""Texts of one feature whose word 3-grams overlap more than this (Jaccard) count as the same."""

SOUND = ("does not activate", "duplicate of", "near-duplicate of", "not among")
"""How the reasons begin of texts that passed every check of the text itself, whatever they activate."""

_LABEL = re.compile(r"(feature|spans|good|bad|rubric|summary|examples?|(user )?query)\s*:", re.IGNORECASE)
_REFUSAL = re.compile(
    r"((i am|i'?m|we are|we're)?( very| so)? ?sorry\b[\s,.]*(but )?)?"
    r"(i|we)( am|'?m| are|'?re)? ?(can'?t|cannot|can not|won'?t|will not|not able to|unable to) "
    r"(help|assist|provide|create|write|generate|comply|fulfil|support|produce|engage|do that|discuss)"
    r"|as an ai\b",
    re.IGNORECASE,
)
_TURN = re.compile(r"^\s*(human|user|assistant)\s*:|<\|?(im_start|user|assistant)\|?>|\[/?INST\]", re.IGNORECASE | re.M)


class Sample(NamedTuple):
    """One candidate text with all that made it, kept or not."""

    feature: int | None
    """The feature it was written for; None for plain generation."""
    text: str
    """What the user says, on which activations are measured; empty where there is none."""
    label: int
    """1 for a feature that is relevant to the task, else 0."""
    step: int
    """1: written from the description; 2: with the contrastive pair in view; 0: without a prompt, by steering."""
    draw: int
    """Which draw of the step, from 0."""
    activation: float = float("nan")
    """Pooled activation of `feature` on the text, measured; nan where it was not."""
    positive: str | None = None
    """x+ of the pair that was shown; None where none was."""
    positive_activation: float = float("nan")
    """Its activation; nan without a pair."""
    positive_source: str | None = None
    """"candidate" of step 1, or "anchor span" where no candidate activated the feature."""
    negative: str | None = None
    """x- of the pair."""
    negative_activation: float = float("nan")
    """Its activation; nan without a pair."""
    prompt_version: str = ""
    """Digest of the prompt file."""
    model: str = ""
    """Name of the backend that wrote it."""
    seed: int = 0
    """Seed of its request."""
    kept: bool = False
    """Whether it is part of the result."""
    reason: str = ""
    """Why it was not kept; empty for kept ones."""
    task: str = "toxicity"
    """Which task it is for."""
    parts: str = "{}"
    """The sample in the task's format: a JSON object of texts (see `formats`); empty where there is none."""
    method: str = "two-step"
    """What wrote it: "two-step", "plain", "steered" or the name of a baseline."""
    repaired: bool = False
    """Whether a first answer was out of form, so that this is the second one."""
    strength: float = float("nan")
    """Steered: the activation that was added along the feature's direction while it was written; 0 is unsteered."""
    perplexity: float = float("nan")
    """Steered: perplexity of the text as a user's turn under the unsteered subject, of a cut-off one as far as
    it got; nan where it was not measured."""


def kept(samples: Iterable[Sample]) -> list[Sample]:
    """The samples that are part of the result."""
    return [sample for sample in samples if sample.kept]


def fault(
    text: str,
    limits: tuple[int, int],
    *,
    shown: Collection[str],
    instructions: Collection[str],
    several_lines: bool = False,
) -> str:
    """Why `text` cannot be a sample, or an empty string.

    `limits` are its fewest and most words. `shown` are the texts that the prompt showed (summary, spans, pair),
    `instructions` its other lines. A text that is part of any of them was copied; one that holds a whole line of
    instructions leaked it.
    """
    least, most = limits
    if len(text.splitlines()) > 1 and not several_lines:
        return "more than one line"
    if not least <= words(text) <= most:
        return f"{words(text)} words, not {least} to {most}"
    if is_refusal(text):
        return "a refusal"
    if _LABEL.match(text):
        return "leaks the prompt"
    padded = f" {normalise(text)} "
    if any(padded in f" {normalise(line)} " for line in (*shown, *instructions)):
        return "copies the prompt"
    lines = (normalise(line) for line in instructions)
    if any(len(line.split()) >= LEAK_WORDS and f" {line} " in padded for line in lines):
        return "leaks the prompt"
    return ""


def is_refusal(text: str) -> bool:
    """Whether a text begins as a model does that will not do what it was asked."""
    return bool(_REFUSAL.match(text.replace("’", "'")))


def speaks_for_both(text: str) -> bool:
    """Whether a reply goes on with a turn of the user, marked as in transcripts."""
    return bool(_TURN.search(text))


def words(text: str) -> int:
    """Words that hold a letter or digit."""
    return sum(bool(re.search(r"\w", word)) for word in text.split())


def normalise(text: str) -> str:
    """The words of a text in lower case, without punctuation: what makes two texts exact duplicates."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def grams(text: str) -> frozenset[tuple[str, ...]]:
    """The word 3-grams of a normalised text; a shorter text is one gram."""
    words = normalise(text).split()
    return frozenset(tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2)))


def overlap(a: frozenset, b: frozenset) -> float:
    """Jaccard index of two sets of grams."""
    return len(a & b) / len(a | b)


def choose(samples: Sequence[Sample], *, per_group: int) -> list[Sample]:
    """Decide among the samples that carry no reason yet: the same samples, `per_group` kept per feature.

    Candidates of step 2 come before those of step 1, then the stronger activation, then the earlier draw. A
    text is kept once, whatever its feature, and no two kept texts of a feature are near-duplicates.
    """
    decided = list(samples)
    taken: set[str] = set()
    groups: dict[int | None, list[int]] = {}
    for i, sample in enumerate(samples):
        if not sample.reason:
            groups.setdefault(sample.feature, []).append(i)
    for group in groups.values():
        winners: list[frozenset] = []
        for i in sorted(group, key=lambda i: _rank(samples[i])):
            sample = samples[i]
            if normalise(sample.text) in taken:
                reason = "duplicate of a kept sample"
            elif any(overlap(grams(sample.text), winner) > NEAR for winner in winners):
                reason = "near-duplicate of a kept sample"
            elif len(winners) == per_group:
                reason = f"not among the {per_group} best"
            else:
                reason = ""
                winners.append(grams(sample.text))
                taken.add(normalise(sample.text))
            decided[i] = sample._replace(kept=not reason, reason=reason)
    return decided


def _rank(sample: Sample) -> tuple[int, float, int]:
    # Plain samples have no activation (nan), and nan cannot be sorted by.
    strength = 0.0 if sample.feature is None else sample.activation
    return -sample.step, -strength, sample.draw
