"""Detection and fuzzing in a world of words in which the right answers, and the scores of three judges, are known."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fac_lab import annotation
from fac_lab.annotation.cases import Draw, Held, detection_cases, fuzzing_cases, neighbours
from fac_lab.annotation.explain import Explanation
from fac_lab.annotation.scores import (
    SCORE_COLUMNS,
    detect,
    feature_scores,
    fuzz,
    over_features,
    recall_by_strength,
    with_scores,
)
from fac_lab.chat.client import ChatClient, ChatReply
from fac_lab.errors import SettingsError
from fac_lab.features.spans import Span
from fac_lab.features.stats import FeatureStats
from fac_lab.features.trace import TokenTrace

PROMPTS = Path(annotation.__file__).parent / "prompts"
WORDS = ("bread", "cake", "lock", "key", "moon", "tide")
DELTA = 2.0
SHOWN = [f"row-{i}" for i in range(0, 60, 6)][:3]


def text_of(row: int) -> str:
    return f"tell me today about the {WORDS[row % 6]} number {row} if you please"


def strength(row: int) -> float:
    return 1.0 + row / 10


@pytest.fixture
def stats() -> FeatureStats:
    """Feature `i` fires on word `i`, at `strength(row)`; rows 0 to 10 stay at or below the threshold of 2."""
    stats = FeatureStats.empty(d_sae=6)
    dense = np.zeros((60, 6), np.float32)
    for row in range(60):
        dense[row, row % 6] = strength(row)
    stats.matrix, stats.sample_ids = sparse.csr_matrix(dense), [f"row-{row}" for row in range(60)]
    return stats


@pytest.fixture
def held(stats) -> Held:
    return Held(stats, {f"row-{row}": text_of(row) for row in range(60)}, DELTA)


def trace_each(texts, features) -> list[TokenTrace]:
    """Tokens are words; a feature is active on its own word alone."""
    found = []
    for text, feature in zip(texts, features, strict=True):
        offsets = np.array([match.span() for match in re.finditer(r"\S+", text)])
        pieces = text.split()
        values = np.array([[word == WORDS[feature]] for word in pieces], np.float32)
        own = np.ones(len(pieces), bool)
        found.append(TokenTrace(text, np.array([feature]), values, pieces, offsets, own, ~own, ""))
    return found


def named(feature: int, summary: str | None = "", shown=SHOWN) -> Explanation:
    spans = tuple(Span(feature, 1.0, sample_id, "a piece", (0, 1)) for sample_id in shown)
    return Explanation(feature, WORDS[feature] if summary == "" else summary, spans, None)


# Bread and cake point the same way, nearly; the lock is next to both.
DECODER = np.array([[1, 0], [0.9, 0.1], [0.7, 0.7], [0, 1], [-1, 0], [0, -1]], float)


def test_neighbours_are_the_largest_cosines():
    near = neighbours(DECODER * np.array([[1], [9], [1], [1], [1], [1]]), [0, 4], k=2)
    assert near.tolist() == [[1, 2], [3, 5]]  # for 4 the two at a right angle tie: the lower index first
    assert neighbours(DECODER, [0], k=99).shape == (1, 5)


def test_detection_cases_are_held_out_and_true(held):
    near = neighbours(DECODER, [0, 1], k=2)
    cases = detection_cases([named(0), named(1, None)], held, near, trace_each, Draw(n=4))
    assert {case.feature for case in cases} == {0}  # no summary, no test
    kinds = pd.Series([case.kind for case in cases]).value_counts().to_dict()
    assert kinds == {"activating": 4, "other": 4, "neighbour": 4}
    assert len({case.sample_id for case in cases}) == 12 and not {case.sample_id for case in cases} & set(SHOWN)
    for case in cases:
        assert case.truth == (WORDS[0] in case.text) == (case.kind == "activating")
        assert case.value > DELTA if case.truth else case.value == 0
        if case.kind == "neighbour":
            assert WORDS[1] in case.text or WORDS[2] in case.text
            assert float(case.sample_id[4:]) >= 11  # above the threshold for the neighbour, too
    # The rows of bread above 2, not shown, are 18, 24, ..., 54: four parts of 7 are 2, 2, 2 and 1 rows.
    strongest = sorted((int(case.sample_id[4:]) for case in cases if case.truth), reverse=True)
    assert [row in part for row, part in zip(strongest, [(54, 48), (42, 36), (30, 24), (18,)], strict=True)] == [
        True
    ] * 4
    assert cases == detection_cases([named(0)], held, near[:1], trace_each, Draw(n=4))
    assert cases != detection_cases([named(0)], held, near[:1], trace_each, Draw(n=4, seed=1))


def test_a_feature_without_held_out_texts_has_no_case(held):
    everything = [f"row-{row}" for row in range(0, 60, 6)]
    assert detection_cases([named(0, shown=everything)], held, neighbours(DECODER, [0]), trace_each) == []
    assert fuzzing_cases([named(0, shown=everything)], held, trace_each) == []


def test_equal_texts_of_other_rows_are_not_held_out(stats):
    texts = {f"row-{row}": "the same bread" if row % 6 == 0 else text_of(row) for row in range(60)}
    held = Held(stats, texts, DELTA)
    assert not detection_cases([named(0)], held, neighbours(DECODER, [0]), trace_each)


def test_fuzzing_marks_the_peak_or_a_silent_token_of_the_same_text(held):
    cases = fuzzing_cases([named(0), named(2)], held, trace_each, Draw(n=3))
    for feature in (0, 2):
        own = [case for case in cases if case.feature == feature]
        assert sorted(case.truth for case in own) == [False] * 3 + [True] * 3
        assert len({case.sample_id for case in own}) == 6
    for case in cases:
        assert (case.text[slice(*case.mark)] == WORDS[case.feature]) == case.truth == (case.kind == "right")
        assert WORDS[case.feature] in case.text and case.text[slice(*case.mark)].strip()


def test_pieces_are_cut_to_the_length_of_spans(held):
    cases = detection_cases([named(0)], held, neighbours(DECODER, [0]), trace_each, Draw(n=4, span_tokens=4))
    assert {len(case.text.split()) for case in cases if case.kind == "activating"} == {4}
    assert max(len(case.text.split()) for case in cases) == 4
    assert all(WORDS[0] in case.text for case in cases if case.truth)


def test_texts_of_another_data_set_are_refused(stats):
    with pytest.raises(SettingsError, match="lacks 59 texts .* 'row-1'"):
        Held(stats, {"row-0": "x"}, 0.0)
    with pytest.raises(SettingsError, match="keep_matrix=True"):
        Held(FeatureStats.empty(3), {}, 0.0)


class Judge:
    """Answers each shown text by a function of (summary, text), or the whole prompt by `says`."""

    def __init__(self, answer=None, says=None) -> None:
        self.name, self.answer, self.says, self.asked = "judge", answer, says, []

    def generate(self, requests, done):
        for i, request in enumerate(requests):
            self.asked.append(request)
            prompt = request.messages[0]["content"]
            if self.says is not None:
                done(i, ChatReply(request, self.says, "stop"))
                continue
            if prompt.startswith("Name the feature"):
                (line,) = set(prompt.splitlines()[1:])
                found = [word for word in WORDS if word in line]
                text = f"Requests about {found[0]} (things)." if found else "Cannot tell."
            else:
                summary = json.loads(re.search(r"<summary>\n(.*)\n</summary>", prompt)[1])
                texts = re.search(r"<texts>\n(.*)\n</texts>", prompt, re.DOTALL)[1].splitlines()
                said = ["Yes" if self.answer(summary, json.loads(shown)) else "No" for shown in texts]
                text = json.dumps({"answers": said})
            done(i, ChatReply(request, text, "stop"))


def client(judge) -> ChatClient:
    return ChatClient(judge, cache=None, progress=False)


SUMMARIES = {feature: WORDS[feature] for feature in range(6)}


def scored(answers) -> pd.DataFrame:
    return feature_scores(answers).set_index("feature")


def test_a_perfect_judge_scores_one_and_a_constant_one_a_half(held):
    near = neighbours(DECODER, [0, 2], k=2)
    cases = detection_cases([named(0), named(2)], held, near, trace_each, Draw(n=4))
    marked = fuzzing_cases([named(0), named(2)], held, trace_each, Draw(n=4))
    right = Judge(lambda summary, text: summary in text)
    sharp = Judge(lambda summary, text: f"«{summary}»" in text)
    for judge, ask, given in ((right, detect, cases), (sharp, fuzz, marked)):
        assert scored(ask(given, SUMMARIES, client(judge), PROMPTS / "paper")).score.tolist() == [1.0, 1.0]
        never = scored(ask(given, SUMMARIES, client(Judge(lambda *_: False)), PROMPTS / "paper"))
        assert never.score.tolist() == [0.5, 0.5] and never.recall.tolist() == [0, 0]
    found = scored(detect(cases, SUMMARIES, client(Judge(lambda *_: False)), PROMPTS / "paper"))
    # What a constant answer gets right unbalanced is what the base rate says.
    assert found.base_rate.tolist() == pytest.approx([1 / 3] * 2) and found.accuracy.tolist() == pytest.approx(
        [2 / 3] * 2
    )
    # Twelve cases of a feature are 5 + 5 + 2, never mixed with another's.
    blocks = [request.messages[0]["content"].split("texts>\n")[1] for request in right.asked]
    assert sorted(block.count("tell me today") for block in blocks) == [2, 2, 5, 5, 5, 5]


def test_only_hard_negatives_catch_a_judge_that_reads_the_surroundings(held):
    cases = detection_cases([named(0)], held, neighbours(DECODER, [0], k=1), trace_each, Draw(n=4))
    wide = Judge(lambda summary, text: "bread" in text or "cake" in text)
    (row,) = scored(detect(cases, SUMMARIES, client(wide), PROMPTS / "paper")).itertuples()
    assert row.recall == 1 and row.specificity_neighbour == 0
    others = [case for case in cases if case.kind == "other"]
    assert row.specificity_other == np.mean(["cake" not in case.text for case in others])
    assert row.score == pytest.approx((1 + row.specificity) / 2)


def test_mini_models_are_asked_to_name_the_text(held):
    cases = detection_cases([named(0)], held, neighbours(DECODER, [0]), trace_each, Draw(n=4))
    names = {0: "requests about bread (things)"}
    judge = Judge()
    (row,) = scored(detect(cases, names, client(judge), PROMPTS / "mini")).itertuples()
    assert (row.score, row.n, row.failed) == (1.0, 12, 0)
    assert all(len(request.messages[0]["content"].splitlines()) == 4 for request in judge.asked)
    marked = fuzzing_cases([named(0)], held, trace_each, Draw(n=3))
    answers = fuzz(marked, names, client(judge), PROMPTS / "mini")
    # The four words that end at the mark hold the peak, or do not; wrong marks up to three words behind it do.
    expected = ["bread" in " ".join(case.text[: case.mark[1]].split()[-4:]) for case in marked]
    assert answers.answer.tolist() == expected and sum(expected) >= 3


@pytest.mark.parametrize(
    "says", ["Yes, all of them.", '{"answers": ["Yes"]}', '{"answers": ["Sure", "No"]}', "Ja, Nein"]
)
def test_an_unreadable_judge_is_counted_not_scored(held, says):
    cases = fuzzing_cases([named(0)], held, trace_each, Draw(n=1))
    judge = Judge(says=says)
    answers = fuzz(cases, SUMMARIES, client(judge), PROMPTS / "paper")
    assert answers.answer.isna().all() and answers.error.str.contains("unreadable twice").all()
    (row,) = scored(answers).itertuples()
    assert (row.n, row.failed) == (0, 2) and np.isnan(row.score)
    assert len(judge.asked) == 2


def test_nothing_to_ask_is_an_empty_table():
    answers = detect([], SUMMARIES, client(Judge()), PROMPTS / "paper")
    assert len(answers) == 0 and len(feature_scores(answers)) == 0
    assert with_scores(pd.DataFrame({"feature": [3]}), answers)[list(SCORE_COLUMNS)].isna().all(axis=None)


def test_labels_carry_the_scores_that_were_counted():
    """Feature 5: three of four positives and both negatives right in detection, both marks in fuzzing; feature 6 has no
    negative, and so no score; feature 7 was not asked about."""
    rows = [(5, "detection", True, said) for said in (True, True, False, True)]
    rows += [(5, "detection", False, False)] * 2 + [(5, "fuzzing", True, True), (5, "fuzzing", False, False)]
    rows += [(6, "detection", True, True)]
    answers = pd.DataFrame(rows, columns=["feature", "test", "truth", "answer"]).assign(kind="activating")
    labels = pd.DataFrame({"feature": [7, 6, 5], "summary": ["c", "b", "a"]}, index=[3, 1, 2])
    found = with_scores(labels, answers)
    assert found.feature.tolist() == [7, 6, 5] and found.index.tolist() == [3, 1, 2]
    assert found[list(SCORE_COLUMNS)].isna().sum(axis=1).tolist() == [3, 3, 0]
    assert found.loc[2, list(SCORE_COLUMNS)].tolist() == [(3 / 4 + 1) / 2, 6, 1.0]


def test_an_interval_over_features():
    assert over_features([0.5] * 8) == (0.5, 0.5, 0.5, 8)
    mean, low, high, n = over_features([0.0, 1.0] * 50 + [float("nan")])
    # The standard error of the mean of 100 coins is 0.05.
    assert (mean, n) == (0.5, 100) and (low, high) == pytest.approx((0.402, 0.598), abs=0.012)
    assert np.isnan(over_features([]).mean) and np.isnan(over_features([1.0]).low)


def test_recall_by_strength_by_hand():
    rows = [
        {"feature": feature, "test": "detection", "truth": True, "value": value, "answer": said, "kind": "activating"}
        for feature, top in ((1, 10), (2, 1000))
        for value, said in ((top, True), (top / 2, feature == 1))
    ]
    table = recall_by_strength(pd.DataFrame(rows), parts=2)
    assert table.to_dict("list") == {"part": [1, 2], "n": [2, 2], "recall": [1.0, 0.5]}
