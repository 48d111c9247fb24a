"""Dense clusters in the place of features: what they measure, by hand; and the arms on one held-out set."""

import numpy as np
import pandas as pd
import pytest

from fac_lab.corpora import Corpus
from fac_lab.studies.filling import in_form
from fac_lab.studies.representation import ARMS, Dense, representation_study, write_for_clusters


@pytest.fixture(scope="module")
def dense(truthful):
    return Dense(truthful[0], k=24)


def test_every_text_activates_its_nearest_cluster_alone(dense):
    texts = [row.text for row in dense.rows[:50]]
    values = dense.measure(texts, range(len(dense.clusters.counts)))
    assert ((values > 0).sum(axis=1) == 1).all() and values.max() <= 1 + 1e-6
    assert values.argmax(axis=1).tolist() == dense.member[:50].tolist()
    # Independently: the nearest centre of the unit vectors.
    units = dense.vectors(texts)
    units = units / np.linalg.norm(units, axis=1, keepdims=True)
    apart = np.square(units[:, None, :] - dense.clusters.centres[None]).sum(axis=2)
    assert apart.argmin(axis=1).tolist() == dense.member[:50].tolist()


def test_what_no_text_reaches_is_missing_largest_first(dense):
    kept = [row for row, member in zip(dense.rows, dense.member, strict=True) if member not in (3, 5)]
    missing = dense.missing(dense.counts(Corpus.from_rows("without", kept)), 1)
    assert set(missing) == {3, 5}
    sizes = dense.clusters.counts[missing]
    assert sizes[0] >= sizes[1] and dense.missing(np.zeros(24, int), int(dense.clusters.counts.max()) + 1).size == 0


def test_a_cluster_is_named_by_its_most_central_texts(dense):
    spans = dense.stats(3).spans(0)
    own = np.flatnonzero(dense.member == 0)
    best = own[np.argsort(-dense.nearness[own])][:3]
    assert {span.sample_id for span in spans} == {dense.rows[i].id for i in best}
    assert spans[0].text == dense.rows[best[0]].text


@pytest.mark.slow
def test_all_arms_add_as_many(truthful):
    lab, anchor = truthful
    frame = representation_study(lab, anchor, sets=[0], drafts=40, k=60, least=1)
    table = frame.drop_duplicates("arm").set_index("arm")
    assert table.index.tolist() == list(ARMS) and table.added["none"] == 0
    arms = table.drop(index="none")
    assert (arms.drafts <= 40).all() and (arms.added <= arms.kept).all()
    assert arms.added[arms.added > 0].nunique() == 1, "whoever has anything adds as many as the others"
    assert arms.by_any.between(0, 1).all() and (arms.wanted_null.dropna() >= 0).all()


def test_a_sample_falls_into_the_cluster_it_was_written_for(truthful, dense):
    lab, _ = truthful
    stats = dense.stats(3)
    # Named by their own texts, which the generator is asked to vary.
    labels = pd.DataFrame({"feature": [2, 7], "summary": [stats.spans(c)[0].text for c in (2, 7)], "relevant": True})
    samples = write_for_clusters(lab, dense, labels, total=16)
    assert len(samples) == 16 and samples.groupby("feature").size().tolist() == [8, 8]
    sound = in_form(samples)
    inside = [dense.measure([row.text], [row.feature]).item() > 0 for row in sound.itertuples()]
    lit = sound[inside]
    assert not sound[~np.array(inside)].kept.any() and len(lit) >= lit.kept.sum()
    assert write_for_clusters(lab, dense, labels[:0]).empty
