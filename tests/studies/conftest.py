"""A lab of the smoke profile that need not ask an annotator, shared by the tests of studies."""

import numpy as np
import pandas as pd
import pytest

from fac_lab.coverage import threshold
from fac_lab.lab import Lab
from fac_lab.studies.labels import true_labels


class TruthfulLab(Lab):
    """Takes labels from the answer key, which saves the time to ask an annotator for hundreds of them; a feature that a
    data set does not activate by the rule is not relevant there."""

    def annotate(self, stats, features, *, task="toxicity"):
        if stats.made_by.get("clusters"):
            texts = [stats.spans(feature)[0].text for feature in features]
            return pd.DataFrame({"feature": list(features), "summary": texts, "relevant": True})
        corpus = self.corpus("anchor")
        anchor = self.stats(corpus, keep_matrix=True)
        truth = true_labels(np.asarray(features), anchor, corpus, 0.0)
        shown = stats.counts(threshold(anchor, self.profile.rule))[truth.feature] > 0
        return pd.DataFrame({"feature": truth.feature, "summary": truth["name"], "relevant": truth.harmful & shown})


@pytest.fixture(scope="session")
def truthful(tmp_path_factory):
    """Lab and anchor; what its store holds is shared by all tests."""
    lab = TruthfulLab.open("smoke", out=tmp_path_factory.mktemp("truthful"))
    return lab, lab.stats(lab.corpus("anchor"), keep_matrix=True)
