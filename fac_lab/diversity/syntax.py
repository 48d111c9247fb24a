"""Diversity of syntax: part-of-speech tags by HanTa, dependency relations by spaCy where it is installed.

HanTa (Wartena 2019, "A probabilistic morphology model for German lemmatization") brings a hidden Markov tagger for
English inside its package and asks no network. It is pure Python: some ten thousand words a second.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from fac_lab.diversity.inputs import Undefined, checked_texts
from fac_lab.diversity.lexical import distinct, entropy
from fac_lab.diversity.words import WORD, number
from fac_lab.errors import ModelError

Parser = Callable[[Sequence[str]], Iterable[Sequence[str]]]
"""From texts to the dependency relations of each one's words."""

_TOKEN = re.compile(rf"{WORD.pattern}|[^\w\s]")
# A word costs the tagger the square of its length; what is longer is no word but an address, and is known by its end.
_LONGEST = 40
_KNOWN_WORDS = 200_000


def pos_distinct(texts: Sequence[str], n: int = 2) -> float:
    """Different n-grams of part-of-speech tags over all of them, in (0, 1]: sentence patterns that do not repeat.

    Words and punctuation are tagged with HanTa's English model (tags of the British National Corpus, C5), each text as
    one sentence. Undefined where no text has `n` tokens, and where HanTa is not installed. There are a few dozen tags,
    so that the value falls fast as the set grows: compare sets of one size.
    """
    checked_texts(texts)
    try:
        tags = number(pos_tags(texts))
    except ModelError as error:
        return Undefined(f"not available: {error}")
    found = distinct(tags, n)
    return Undefined(f"no text holds {n} words or punctuation marks") if found != found else found


def pos_tags(texts: Sequence[str]) -> Iterator[list[str]]:
    """The tags of each text's words and punctuation marks; none for an empty text. Raises ModelError without HanTa."""
    tagger = _tagger()
    for text in texts:
        tokens = [token[-_LONGEST:] for token in _TOKEN.findall(text)]
        yield tagger.tag_sent(tokens, taglevel=0)


def dependency_entropy(texts: Sequence[str], parser: Parser | None = None) -> float:
    """Shannon entropy in nats of the dependency relations (subject, object, ...) of all words of the set.

    `parser` gives each text's relations; None is spaCy with an installed pipeline (see `spacy_parser`). Undefined
    where there is none, and where no text holds a word: it is never estimated by other means.
    """
    checked_texts(texts)
    if parser is None:
        try:
            parser = spacy_parser()
        except ModelError as error:
            return Undefined(f"not available: {error}")
    relations = number(parser(texts))
    return entropy(np.bincount(relations.ids)) if len(relations.ids) else Undefined("no text holds a word")


def spacy_parser(name: str | None = None) -> Parser:
    """spaCy's pipeline of that name, or the first installed one that parses. Raises ModelError without one."""
    try:
        import spacy
    except ImportError as error:
        raise ModelError(
            "no dependency parser is installed: pip install spacy, then python -m spacy download en_core_web_sm"
        ) from error
    names = [name] if name else sorted(spacy.util.get_installed_models())
    for found in names:
        try:
            pipeline = spacy.load(found)
        except OSError as error:
            raise ModelError(f"spaCy has no pipeline {found}: python -m spacy download {found}") from error
        if pipeline.has_pipe("parser"):
            return lambda texts: ([word.dep_ for word in parsed if word.dep_] for parsed in pipeline.pipe(texts))
    raise ModelError("spaCy has no pipeline that parses: python -m spacy download en_core_web_sm")


@cache
def _tagger() -> Any:
    try:
        from HanTa.HanoverTagger import HanoverTagger
    except ImportError as error:
        raise ModelError("the part-of-speech tagger HanTa is not installed: pip install HanTa") from error
    tagger = HanoverTagger("morphmodel_en.pgz")
    # The reading of a word by itself is most of the work, and data sets repeat their words.
    tagger.analyze_forward = lru_cache(_KNOWN_WORDS)(tagger.analyze_forward)
    return tagger
