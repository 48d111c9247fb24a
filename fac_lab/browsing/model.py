"""What only the model can say: neighbours, promoted tokens, the map, token heat, texts tried, samples written.

The model is loaded by the first question that needs it and checked against the statistics that are shown. Geometry,
lens and traces of features are the modules `features.geometry`, `features.lens` and `features.trace`.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from fac_lab.browsing.neuronpedia import page_url
from fac_lab.corpora import Corpus, Row
from fac_lab.errors import DataError, ModelError
from fac_lab.features.spans import Span
from fac_lab.features.stats import FeatureStats
from fac_lab.rows import text_fault

if TYPE_CHECKING:
    from fac_lab.features.lens import Lens
    from fac_lab.features.trace import SpanTrace, TokenTrace
    from fac_lab.lab import Lab

MAP_SEED = 0


class Trial(NamedTuple):
    """A text of one's own."""

    text: str
    feature: int
    pooled: float
    """Pooled activation of the feature."""
    delta: float
    """The threshold it has to exceed."""
    active: bool
    """Whether it does."""
    truncated: bool
    """Whether the text was longer than the model reads, and was cut."""
    strongest: list[tuple[int, float]]
    """The features it activates most, with their pooled activations, strongest first."""
    fills: np.ndarray
    """Missing features that it activates, int64, strongest first."""


class Written(NamedTuple):
    """What synthesis made for one feature."""

    feature: int
    samples: pd.DataFrame
    """Every candidate, with the columns of `synthesis.samples.Sample` and `remeasured`."""
    pair: dict[str, Any] | None
    """The contrastive pair that step 2 saw: `positive`, `positive_activation`, `positive_source`, `negative`,
    `negative_activation`; None where there was none."""
    fills: np.ndarray
    """Missing features that the kept samples activate, int64, ascending."""


class Model:
    """A lab's subject and SAE behind the features whose statistics are shown; `lab` None: there is no model."""

    def __init__(self, lab: "Lab | None", sae: str, d_sae: int) -> None:
        self._lab, self._digest, self._d_sae = lab, sae, d_sae
        self._checked = False

    @property
    def lab(self) -> "Lab":
        """The lab, its SAE checked. Raises ModelError where there is none, or one with another SAE.

        Asked for before anything is imported that needs PyTorch: where there is no model, nobody shall wait for that.
        """
        if self._lab is None:
            raise ModelError(
                "no model is open, only statistics: open the browser with a lab (a profile names model and SAE)"
            )
        if not self._checked:
            found = self._lab.encoder.digest
            if self._digest and found != self._digest:
                raise ModelError(
                    f"the features shown are of the SAE {self._digest}, but the profile {self._lab.profile.name} opens "
                    f"{self._lab.profile.sae.path} ({found}), whose features are others: open it with the profile it "
                    "was made with"
                )
            self._checked = True
        return self._lab

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory, so that the next answer comes at once."""
        return self._checked

    def nearest(self, feature: int, k: int) -> list[tuple[int, float]]:
        """The `k` features whose decoder directions are closest, with their cosine."""
        lab = self.lab
        from fac_lab.features.geometry import nearest

        return nearest(lab.sae, feature, k)

    def promoted(self, feature: int, k: int) -> "Lens":
        """Tokens that the feature promotes and suppresses. Raises ModelError, with the reason, where it has none."""
        lab = self.lab
        from fac_lab.features.lens import no_lens, promoted

        found = promoted(lab.subject, lab.sae, feature, k)
        if found is None:
            raise ModelError(str(no_lens(lab.subject, lab.sae, feature)))
        return found

    def dictionary_map(self) -> np.ndarray:
        """Every feature's place in two dimensions, float32 `[d_sae, 2]`, NaN for one without a direction; computed
        once, then kept in the store."""
        lab = self.lab
        from fac_lab.features.geometry import dictionary_map

        return dictionary_map(lab.sae, lab.store, seed=MAP_SEED)

    def page(self, feature: int) -> str | None:
        """Address of the feature's page on Neuronpedia, where the SAE is known there."""
        # A missing attribute of the metadata reads as None.
        return page_url(self.lab.sae.cfg.metadata.neuronpedia_id, feature)

    def trace(self, text: str, features: Sequence[int]) -> "TokenTrace":
        """Some features token by token over a text."""
        lab = self.lab
        from fac_lab.features.trace import trace

        return trace(lab.subject, lab.sae, text, features, lab.profile.collect)

    def trace_spans(self, spans: Sequence[Span], texts: Mapping[str, str]) -> "list[SpanTrace]":
        """Spans token by token; each is read within its whole text where `texts` (by sample id) holds that."""
        lab = self.lab
        from fac_lab.features.trace import trace_spans

        return trace_spans(lab.subject, lab.sae, spans, lab.profile.collect, texts=texts)

    def trial(self, text: str, feature: int, delta: float | np.ndarray, missing: np.ndarray, *, top: int) -> Trial:
        """A text against the threshold; `missing` are the features missing now, `[n]`.

        Raises DataError for a text that no tokenizer reads.
        """
        if (reason := text_fault(text)) is not None:
            raise DataError(f"there is nothing to try: {reason}")
        lab = self.lab
        pooled = lab.measure([text])[0]
        (tokens,) = lab.subject.tokenize([text], lab.profile.collect.pool, lab.profile.collect.protocol)
        thresholds = np.broadcast_to(np.asarray(delta, float), (self._d_sae,))
        order = np.argsort(-pooled, kind="stable")[:top]
        fills = missing[pooled[missing] > thresholds[missing]]
        return Trial(
            text=text,
            feature=feature,
            pooled=float(pooled[feature]),
            delta=float(thresholds[feature]),
            active=bool(pooled[feature] > thresholds[feature]),
            truncated=tokens.truncated,
            strongest=[(int(i), float(pooled[i])) for i in order if pooled[i] > 0],
            fills=fills[np.argsort(-pooled[fills], kind="stable")],
        )

    def write(
        self,
        label: pd.DataFrame,
        stats: FeatureStats,
        delta: float | np.ndarray,
        missing: np.ndarray,
        *,
        draw: int = 0,
    ) -> Written:
        """Two-step synthesis for the one feature of `label` (`feature`, `summary`, `relevant`).

        `draw` 1, 2, ... asks for other samples than those of before. Raises SettingsError where the profile names no
        generator.
        """
        lab = self.lab
        if draw:
            # A copy shares what is loaded (the generator has to be, by then); only its requests' seed is another.
            settings, _ = lab.profile.synthesis, lab.generator
            lab = copy.copy(lab)
            lab.profile = replace(lab.profile, synthesis=replace(settings, seed=settings.seed + draw))
        feature = int(label.feature.iloc[0])
        samples = lab.synthesise(label, stats, delta)
        texts = samples.text.tolist()
        wanted = np.concatenate([[feature], missing]).astype(int)
        found = lab.measure(texts, wanted) if texts else np.zeros((0, len(wanted)), np.float32)
        again = [float(value) if text else np.nan for value, text in zip(found[:, 0], texts, strict=True)]
        samples = samples.assign(remeasured=again)
        thresholds = np.broadcast_to(np.asarray(delta, float), (self._d_sae,))[missing]
        filled = (found[samples.kept.to_numpy(bool), 1:] > thresholds).any(axis=0)
        return Written(feature, samples, _pair(samples), np.sort(missing[filled]))

    def stats_of(self, texts: Sequence[str]) -> FeatureStats:
        """Statistics of some texts, in memory only. Raises DataError where there is none."""
        from fac_lab.features.collect import collect

        corpus = Corpus.from_rows("synthetic", [Row(f"synthetic-{i}", text) for i, text in enumerate(texts)])
        return collect(self.lab.subject, self.lab.sae, corpus, self.lab.profile.collect, progress=False)


def _pair(samples: pd.DataFrame) -> dict[str, Any] | None:
    """The contrastive pair behind the samples of step 2."""
    shown = samples[samples.positive.notna()]
    if not len(shown):
        return None
    names = ("positive", "positive_activation", "positive_source", "negative", "negative_activation")
    return {name: shown.iloc[0][name] for name in names}
