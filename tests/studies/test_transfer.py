"""Transfer between models: two of the embedded models see one small seed; and what is read off a grid, by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fac_lab.coverage import threshold
from fac_lab.errors import SettingsError
from fac_lab.lab import Lab
from fac_lab.settings import SaeSettings
from fac_lab.studies import filling, transfer
from fac_lab.studies.labels import true_labels
from fac_lab.studies.matches import concept_agreement, links_of, matches_study
from fac_lab.studies.missing import world_corpus
from fac_lab.studies.results import RESULTS
from fac_lab.studies.shared_features import regions_of, shared_training
from fac_lab.studies.transfer import (
    MODELS,
    NOBODY,
    anchors_of,
    grid_of,
    model_labs,
    open_views,
    self_improvement_study,
    weak_to_strong,
    writers_of,
)
from fac_lab.world import concepts, hold_out

TWO = {name: MODELS[name] for name in ("llama", "mistral")}
N_ABOUT = 5


class Told(Lab):
    """A lab with a small anchor, about some harmful and some harmless concepts, half of those held out by set 0; it
    takes labels from the answer key, so that nobody has to be asked."""

    def corpus(self, role):
        if role != "anchor":
            return super().corpus(role)
        out = hold_out(round(0.5 * sum(c.harmful for c in concepts())), seed=0, harmful=True)
        inside = [c for c in concepts() if c.harmful and c not in out]
        about = [*out[:N_ABOUT], *inside[:N_ABOUT], *[c for c in concepts() if not c.harmful][:N_ABOUT]]
        return world_corpus("anchor", 150, seed=1, without=[c for c in concepts() if c not in about])

    def annotate(self, stats, features, *, task="toxicity"):
        corpus = self.corpus("anchor")
        anchor = self.stats(corpus, keep_matrix=True)
        truth = true_labels(np.asarray(features), anchor, corpus, threshold(anchor, self.profile.rule))
        return pd.DataFrame({"feature": truth.feature, "summary": truth["name"], "relevant": truth.harmful})


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The lab, and two models' anchors and views of one seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "MANY_DRAWS", {"step1_draws": 2, "step2_draws": 0})
        rows = world_corpus("test", 40, seed=9)
        patch.setattr(filling, "test_rows", lambda: list(rows))
        lab = Told.open("smoke", out=tmp_path_factory.mktemp("transfer"))
        seed = replace(lab.profile.corpora["seed"], n=150)
        lab.profile = replace(lab.profile, corpora={**lab.profile.corpora, "seed": seed})
        labs = model_labs(lab, TWO)
        anchors = anchors_of(labs)
        yield lab, anchors, open_views(labs, anchors, held_out_set=0)


def kinds_of(lab):
    return [row.concept for row in lab.corpus("anchor")]


def test_each_model_is_a_subject_with_its_own_dictionary(small):
    lab, anchors, views = small
    labs = {name: view.lab for name, view in views.items()}
    assert labs["llama"] is lab and type(labs["mistral"]) is Told
    other = labs["mistral"]
    assert other.store.root == lab.store.root and other.annotator is lab.annotator and other.generator is lab.generator
    assert other.subject.digest != lab.subject.digest and other.encoder.digest != lab.encoder.digest
    a, b = (view.filling for view in views.values())
    assert a.gap.held_out == b.gap.held_out and a.gap.seed.digest == b.gap.seed.digest
    assert [row.id for row in a.start] == [row.id for row in b.start]
    assert len(a.missing) and len(b.missing)
    released = replace(lab.profile, sae=SaeSettings("release", "some-release", sae_id="one"))
    with pytest.raises(SettingsError, match="reads its SAE from a release"):
        model_labs(Lab(released, lab.store.root))


@pytest.mark.slow
def test_the_grid_has_equal_texts_in_every_cell(small):
    lab, _, views = small
    writers = writers_of(lab, TWO)
    frame = pd.DataFrame(grid_of(views, writers))
    features = frame[frame.arm == "features"]
    cells = features[["source", "generator", "backbone"]].drop_duplicates()
    assert len(cells) == 8 and len(frame) == 2 * (4 + 2 + 1 + 1)
    n = features.kept.min()
    assert n > 0 and (features.added == n).all() and (frame.added[frame.arm == "none"] == 0).all()
    assert (frame.added[frame.arm == "oracle"] == n).all() and (frame.about_held_out[frame.arm == "oracle"] == 1).all()
    assert features.asked.nunique() == 1 and (features.asked <= features.n_missing).all()
    assert frame.auprc.between(0, 1).all()
    # The source's own reading of texts is the backbone's where they are one model.
    own = features[features.source == features.backbone]
    assert own.source_by_any.to_numpy() == pytest.approx(own.backbone_by_any.to_numpy())
    assert (frame.backbone_by_any[frame.arm == "none"] == 0).all() and features.source_by_any.max() > 0
    again = pd.DataFrame(grid_of(views, writers))
    pd.testing.assert_frame_equal(frame, again)


def test_matches_are_above_their_null_and_mean_the_same(small):
    lab, *_ = small
    frame = matches_study(lab, models=TWO).set_index(["a", "b"])
    assert frame.index.tolist() == [("llama", "mistral"), ("mistral", "llama")]
    assert frame.mutual.nunique() == 1, "each other's best match is so from both sides, the limit aside"
    assert (frame.matched <= frame.matched_99).all() and (frame.matched_99 <= frame.live).all()
    assert (frame.mutual > 5 * frame.mutual_null.clip(lower=1)).all() and (frame.null_99 <= frame.null_max).all()
    assert (frame.same_concept > 2 * frame.same_concept_chance).all() and (frame.about > 10).all()
    assert (frame.same_concept_about >= frame.same_concept).all()


def test_agreement_by_hand():
    a = pd.DataFrame({"concept": ["x", "x", "y", "z"], "share": [0.9, 0.2, 0.8, 0.9]})
    b = pd.DataFrame({"concept": ["x", "y", "x", "z"], "share": [0.9, 0.9, 0.6, 0.4]})
    # Agree: the first and the last; by chance 2/4 * 2/4 + 1/4 * 1/4 + 1/4 * 1/4; both about something: 1 and 3.
    found = concept_agreement(a, b)
    assert found == {"same_concept": 0.5, "same_concept_chance": 0.375, "about": 2, "same_concept_about": 0.5}
    nothing = concept_agreement(a[:0], b[:0])
    assert np.isnan(nothing["same_concept"]) and nothing["about"] == 0


def test_a_model_shares_all_with_itself_and_nothing_without_links(small):
    lab, _, views = small
    one = views["llama"]
    missing = one.filling.missing
    links = {(0, 1): np.stack([np.arange(4096)] * 2, axis=1)}
    rows = pd.DataFrame(regions_of({"one": one, "same": one}, links, kinds_of(lab))).set_index(["way", "region"])
    assert rows["count"]["matching"].to_dict() == {"one": 0, "same": 0, "one + same": len(missing)}
    assert rows["count"]["missing"].to_dict() == {"one": len(missing), "same": len(missing)}
    concept = rows["count"]["concept"]
    assert concept["one"] == concept["same"] == 0 < concept["one + same"] <= len(missing)
    # Two random draws of so many relevant features seldom hit the same one.
    assert rows.by_chance["matching", "one + same"] < len(missing)
    apart = pd.DataFrame(regions_of({"one": one, "same": one}, {(0, 1): np.zeros((0, 2), int)}, kinds_of(lab)))
    apart = apart[apart.way == "matching"].set_index("region")["count"]
    assert apart.to_dict() == {"one": len(missing), "same": len(missing), "one + same": 0}


def test_regions_add_up_and_name_what_was_held_out(small):
    lab, anchors, views = small
    rows = pd.DataFrame(regions_of(views, links_of(anchors), kinds_of(lab)))
    by_matching = rows[rows.way == "matching"].set_index("region")["count"]
    missing = rows[rows.way == "missing"].set_index("region")["count"]
    assert by_matching.sum() <= missing.sum() and by_matching["llama"] < missing["llama"], "some are shared"
    shared = rows[(rows.n_models == 2) & rows.way.isin(["matching", "concept"])]
    assert (shared["count"] > 0).all() and (shared.held_out > 0.5).all()


@pytest.mark.slow
def test_samples_for_shared_features_are_written_once(small):
    lab, anchors, views = small
    frame = pd.DataFrame(shared_training(views, links_of(anchors), lab.generator))
    assert frame.groupby("arm", sort=False).size().to_dict() == {"none": 2, "shared": 2, "apart": 2, "plain": 2}
    added = frame.groupby("arm").added.unique().map(list)
    assert added["none"] == [0] and added["shared"] == added["apart"]
    n = added["shared"][0]
    assert n > 0 and added["plain"][0] <= n, "texts of both kinds, as many"
    by = frame.set_index(["arm", "backbone"])
    assert (by.shared_by_any["none"] == 0).all() and by.shared_by_any["shared", "llama"] > 0
    assert frame.n_shared.nunique() == 1 and frame.asked.max() <= frame.n_shared[0]


def test_nothing_shared_is_nothing_added(small):
    lab, _, views = small
    none = {(0, 1): np.zeros((0, 2), int)}
    frame = pd.DataFrame(shared_training(views, none, lab.generator))
    assert (frame.added == 0).all() and frame.shared_by_any.isna().all() and (frame.n_shared == 0).all()


def test_the_weaker_is_the_one_that_scores_less_alone():
    rows = []
    alone = {"x": 0.3, "y": 0.5}
    for backbone, base in alone.items():
        where = {"held_out_set": 0, "backbone": backbone}
        rows += [where | {"arm": "none", "source": NOBODY, "auprc": base + shift} for shift in (-0.1, 0.1)]
        rows += [where | {"arm": "plain", "source": NOBODY, "auprc": base + 0.05}]
        rows += [where | {"arm": "features", "source": source, "auprc": base + alone[source]} for source in alone]
    (row,) = weak_to_strong(pd.DataFrame(rows)).itertuples()
    assert (row.weak, row.strong) == ("x", "y")
    assert (row.weak_alone, row.strong_alone) == pytest.approx((0.3, 0.5))
    assert (row.by_weak, row.by_own, row.by_plain) == pytest.approx((0.8, 1.0, 0.55))


@pytest.mark.slow
def test_a_model_improves_itself_with_its_own_texts(small):
    lab, *_ = small
    frame = self_improvement_study(lab, sets=[0], models={"mistral": MODELS["mistral"]})
    assert frame.model.unique().tolist() == ["mistral"]
    by = frame.set_index("arm")
    assert by.again_missing["two rounds"] == by.still_missing["one round"] <= by.still_missing["none"]
    assert by.added["two rounds"] >= by.added["one round"] > 0


def test_the_studies_are_registered():
    names = {"transfer_matches", "transfer_shared", "transfer_grid", "table03", "self_improvement"}
    assert names <= set(RESULTS)
