"""How good a summary is: can a judge that knows nothing else tell texts, and marked tokens, by it?

Detection and fuzzing after EleutherAI's delphi. *Detection*: which held-out texts activate the feature, hard
negatives among them. *Fuzzing*: in which activating texts is the right token marked. Scores are balanced accuracies,
the mean of recall and specificity: 0.5 is what any constant answer gets, whatever the share of positives, which
stands beside as the base rate.

Large models are asked by the prompts `detect` and `fuzz`, a few texts at a time. The mini models know neither
question: the text is *named* by the prompt they were trained on, three times the same line, and counts as a Yes if
its name confirms the summary (the same, or one the domain of the other). In fuzzing the few words that end at the
mark are named. So in the mini profile a score also says how well the namer names a single text, and a feature that
is named wrongly, but always the same, may score high: compare with the accuracy against true concepts.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fac_lab.annotation.ask import PAPER_RUN, Answer, Run, ask, questions
from fac_lab.annotation.cases import NEIGHBOUR, OTHER, Case
from fac_lab.annotation.explain import name
from fac_lab.annotation.styles import Style, match_names, object_schema, read_choices, style_of
from fac_lab.annotation.verify import CONFIRMING
from fac_lab.chat.client import ChatClient, ChatRequest
from fac_lab.features.spans import Span
from fac_lab.prompts import load_prompt

MAX_TOKENS = 64
TEXTS_PER_QUESTION = 5
SAME_LINE = 3
"""Lines of a naming prompt that one text fills: the mini namer learned from six lines and names a text of a known
concept more often right from three equal ones than from one."""
WORDS_TO_MARK = 4
"""Words, the marked one last, that are named in fuzzing by mini models."""
DRAWS = 10_000
SCHEMA = object_schema({"answers": {"type": "array", "items": {"type": "string", "enum": ["Yes", "No"]}}})
SCORE_COLUMNS = ("label_score", "label_texts", "fuzzing_score")
ANSWER_COLUMNS = (*Case._fields, "test", "answer", "error")


class Score(NamedTuple):
    """A score over features."""

    mean: float
    """Mean over the features that have one; NaN if none has."""
    low: float
    """95 % interval of that mean: percentiles of the mean of resampled features. NaN for fewer than two."""
    high: float
    n: int
    """Features that have a score."""


def detect(
    cases: Sequence[Case],
    summaries: dict[int, str],
    chat: ChatClient,
    prompts: str | Path,
    *,
    run: Run = PAPER_RUN,
) -> pd.DataFrame:
    """Ask of each case, by its feature's summary alone, whether the text activates the feature.

    One row per case: its fields, `test` ("detection"), `answer` (True for Yes; None where none could be read) and
    `error` (the reason, None where there is an answer). An answer that cannot be read is asked for once more.
    """
    return _asked("detection", cases, summaries, chat, prompts, run)


def fuzz(
    cases: Sequence[Case],
    summaries: dict[int, str],
    chat: ChatClient,
    prompts: str | Path,
    *,
    run: Run = PAPER_RUN,
) -> pd.DataFrame:
    """Ask of each case whether the marked token is the one that the summary leads to; a table as `detect` gives."""
    return _asked("fuzzing", cases, summaries, chat, prompts, run)


def feature_scores(answers: pd.DataFrame) -> pd.DataFrame:
    """Scores of each feature and test from a table of answers.

    Columns: `feature`, `test`, `n` (cases answered), `failed` (cases without an answer, in no score), `base_rate`
    (share of positives), `accuracy`, `recall`, `specificity`, and `score`, their mean: the balanced accuracy, NaN
    where positives or negatives are absent. Of detection also `specificity_other` and `specificity_neighbour`.
    """
    rows = []
    for (feature, test), group in answers.groupby(["feature", "test"], sort=True):
        given = group[group.answer.notna()]
        truth, said = given.truth.to_numpy(bool), given.answer.to_numpy(bool)
        recall, specificity = _share(said, truth), _share(~said, ~truth)
        kinds = {kind: _share(~said, (given.kind == kind).to_numpy()) for kind in (OTHER, NEIGHBOUR)}
        rows.append(
            {
                "feature": feature,
                "test": test,
                "n": len(given),
                "failed": len(group) - len(given),
                "base_rate": float(truth.mean()) if len(given) else float("nan"),
                "accuracy": float((truth == said).mean()) if len(given) else float("nan"),
                "recall": recall,
                "specificity": specificity,
                "score": (recall + specificity) / 2,
                **{f"specificity_{kind}": share for kind, share in kinds.items()},
            }
        )
    columns = ["feature", "test", "n", "failed", "base_rate", "accuracy", "recall", "specificity", "score"]
    return pd.DataFrame(rows, columns=[*columns, f"specificity_{OTHER}", f"specificity_{NEIGHBOUR}"])


def with_scores(labels: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """Labels with what their summaries are worth, from a table of answers; NaN where a label was not scored.

    Added or replaced are SCORE_COLUMNS: `label_score`, the balanced accuracy of detection, which is the number to
    judge a label by; `label_texts`, the texts it was counted on; `fuzzing_score`, that of fuzzing, which has none for
    features that peak in a chat template.
    """
    scores = feature_scores(answers)
    columns = {}
    sources = (("detection", "score"), ("detection", "n"), ("fuzzing", "score"))
    for column, (test, source) in zip(SCORE_COLUMNS, sources, strict=True):
        known = scores[(scores.test == test) & scores.score.notna()].set_index("feature")[source]
        columns[column] = labels.feature.map(known).astype(float)
    return labels.assign(**columns)


def over_features(values: Sequence[float], *, seed: int = 0) -> Score:
    """Mean of one value per feature with its 95 % interval; NaN values are features without a score."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return Score(float(known.mean()) if len(known) else float("nan"), float("nan"), float("nan"), len(known))
    dice = np.random.default_rng(seed)
    # In blocks: ten thousand draws of thousands of features would not fit in memory at once.
    means = [dice.choice(known, (100, len(known))).mean(axis=1) for _ in range(DRAWS // 100)]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Score(float(known.mean()), float(low), float(high), len(known))


def recall_by_strength(answers: pd.DataFrame, parts: int = 5) -> pd.DataFrame:
    """Share of positives of detection that were told, by their place in their feature's range of activations.

    Columns: `part` (1: the strongest `parts`-th of a feature's drawn texts), `n`, `recall`.
    """
    rows = answers[(answers.test == "detection") & answers.truth & answers.answer.notna()]
    place = rows.groupby("feature").value.rank(pct=True, ascending=False, method="first")
    part = np.ceil(place * parts).astype(int).rename("part")
    table = rows.answer.astype(bool).groupby(part).agg(["size", "mean"])
    return table.reset_index().rename(columns={"size": "n", "mean": "recall"})


def scoring_requests(
    test: str, cases: Sequence[Case], summaries: dict[int, str], prompts: str | Path, *, run: Run = PAPER_RUN
) -> list[ChatRequest]:
    """The requests by which a large model is asked, `TEXTS_PER_QUESTION` cases of one feature in each."""
    style, prompt = style_of(prompts), load_prompt(Path(prompts), "detect" if test == "detection" else "fuzz")
    conversations = [
        prompt.messages(
            summary=style.phrase(summaries[cases[group[0]].feature]),
            texts=[_shown(cases[i], test, style) for i in group],
        )
        for group in _groups(cases)
    ]
    return questions(conversations, style=style, max_tokens=MAX_TOKENS, schema=SCHEMA, run=run)


def _asked(
    test: str, cases: Sequence[Case], summaries: dict[int, str], chat: ChatClient, prompts: str | Path, run: Run
) -> pd.DataFrame:
    way = _by_naming if style_of(prompts).names_only else _by_question
    answers = way(test, cases, summaries, chat, prompts, run)
    rows = [(*case, test, answer.value, answer.error) for case, answer in zip(cases, answers, strict=True)]
    return pd.DataFrame(rows, columns=ANSWER_COLUMNS).astype({"answer": object})


def _by_question(
    test: str, cases: Sequence[Case], summaries: dict[int, str], chat: ChatClient, prompts: str | Path, run: Run
) -> list[Answer[bool]]:
    style, groups = style_of(prompts), _groups(cases)
    requests = scoring_requests(test, cases, summaries, prompts, run=run)
    # Groups of one size are read alike, and `ask` reads all its answers in one way.
    answers: list[Answer[bool]] = [Answer(None, "not asked")] * len(cases)
    for size in sorted({len(group) for group in groups}):
        chosen = [i for i, group in enumerate(groups) if len(group) == size]
        for i, answer in zip(chosen, ask(chat, [requests[i] for i in chosen], _reader(size), style=style), strict=True):
            for place, case in enumerate(groups[i]):
                value = None if answer.value is None else answer.value[place] == "Yes"
                answers[case] = Answer(value, answer.error)
    return answers


def _by_naming(
    test: str, cases: Sequence[Case], summaries: dict[int, str], chat: ChatClient, prompts: str | Path, run: Run
) -> list[Answer[bool]]:
    style = style_of(prompts)
    names = name([[_shown(case, test, style)] * SAME_LINE for case in cases], chat, prompts, run=run)
    return [
        Answer(None, found.error)
        if found.error is not None
        else Answer(match_names(summaries[case.feature], found.value) in CONFIRMING, None)
        for case, found in zip(cases, names, strict=True)
    ]


def _groups(cases: Sequence[Case]) -> list[list[int]]:
    """Places of cases that are asked together: of one feature, in their order."""
    places: dict[int, list[int]] = {}
    for i, case in enumerate(cases):
        places.setdefault(case.feature, []).append(i)
    step = TEXTS_PER_QUESTION
    return [found[i : i + step] for found in places.values() for i in range(0, len(found), step)]


def _shown(case: Case, test: str, style: Style) -> str:
    if test == "detection":
        return style.quote(case.text)
    if style.names_only:
        return style.quote(" ".join(case.text[: case.mark[1]].split()[-WORDS_TO_MARK:]))
    return style.show_span(Span(case.feature, case.value, case.sample_id, case.text, case.mark))


def _reader(n: int) -> Callable[[str], tuple[str, ...]]:
    return lambda text: read_choices(text, "answers", n, ("Yes", "No"))


def _share(hits: np.ndarray, among: np.ndarray) -> float:
    return float(hits[among].mean()) if among.any() else float("nan")
