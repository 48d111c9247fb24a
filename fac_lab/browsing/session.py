"""One open browser: its data, its state, and everything that the page asks for.

    session = BrowserSession.open(lab, anchor, seed, labels=labels)
    session.set_threshold(1.5).n_missing, session.page().frame, session.feature(17)

Nothing here knows of widgets. Answers that need only statistics come at once; those that need the model are `Part`s,
which hold a value or the reason why there is none, and load the model when first asked (see `model.loaded`). Threshold
and scope are kept by `Dial`, filters and order by `Listing`, what people change by `Changes`, what leaves the browser
by `Selection`; the session adds the data, single features and the model.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fac_lab.annotation.scores import SCORE_COLUMNS
from fac_lab.browsing.compare import Comparison, Side, compare
from fac_lab.browsing.edits import Journal
from fac_lab.browsing.histograms import histogram
from fac_lab.browsing.model import Model, Trial, Written
from fac_lab.browsing.neuronpedia import ImportedLabels, read_labels
from fac_lab.browsing.parts import Part, part
from fac_lab.browsing.samples import SampleView
from fac_lab.browsing.selection import Selection
from fac_lab.browsing.table import FeatureTable, truth_columns
from fac_lab.browsing.threshold import STATUSES, LiveThreshold
from fac_lab.browsing.view import FeatureView
from fac_lab.browsing.written import WrittenSamples
from fac_lab.coverage import threshold
from fac_lab.digests import digest
from fac_lab.errors import DataError
from fac_lab.features.stats import FeatureStats
from fac_lab.settings import CoverageRule

if TYPE_CHECKING:
    from fac_lab.corpora import Corpus
    from fac_lab.features.lens import Lens
    from fac_lab.features.trace import SpanTrace, TokenTrace
    from fac_lab.lab import Lab

JOURNAL = "edits.jsonl"


class BrowserSession(Selection):
    """The browser's model; `open` makes one from a lab, the constructor from statistics alone.

    `labels` are as `Lab.annotate` gives them, with the columns of `annotation.scores.with_scores` where they were
    scored; `synthetic` as `Lab.synthesise` does; `null` an anchor and a seed that lacks nothing of it; `concepts` the
    known concept of each anchor row (its matrix is needed too) and `domains` the domain by concept; `corpora` the data
    sets by role, for whole texts; `out` the folder of the edits, without which nothing can be changed. Raises
    SettingsError where anchor and seed were measured differently, ArtifactError for edits of another SAE.
    """

    def __init__(
        self,
        anchor: FeatureStats,
        seed: FeatureStats,
        rule: CoverageRule,
        *,
        lab: "Lab | None" = None,
        labels: pd.DataFrame | None = None,
        synthetic: pd.DataFrame | None = None,
        null: tuple[FeatureStats, FeatureStats] | None = None,
        concepts: Sequence[str] | None = None,
        domains: Mapping[str, str] | None = None,
        corpora: "Mapping[str, Corpus] | None" = None,
        out: str | Path | None = None,
        name: str = "",
    ) -> None:
        truth = truth_columns(anchor, threshold(anchor, rule), concepts, domains or {})
        table = FeatureTable.from_stats(anchor, seed, labels=labels, **truth)
        super().__init__(anchor, seed, rule, table, null, WrittenSamples(synthetic))
        self.labels = labels
        self.model = Model(lab, anchor.made_by.get("sae", ""), anchor.d_sae)
        self.corpora = dict(corpora or {})
        self.name = name or " / ".join(anchor.made_by.get("corpora", {}).values()) or "anchor and seed"
        self._texts: dict[str, dict[str, str]] = {}
        if out is not None:
            sae_name = lab.profile.sae.path if lab is not None else self.name
            # Scored later, labels are still the same.
            said = None if labels is None else labels.drop(columns=list(SCORE_COLUMNS), errors="ignore")
            made_of = None if said is None else digest(said.to_csv(index=False))
            self.journal = Journal(Path(out) / JOURNAL, sae=self.sae, d_sae=anchor.d_sae, name=sae_name, labels=made_of)
            self.refresh()

    @classmethod
    def open(
        cls, lab: "Lab", anchor: "Corpus | FeatureStats", seed: "Corpus | FeatureStats", **known: Any
    ) -> "BrowserSession":
        """A session of a lab's model, with its rule; `known` are the constructor's other arguments.

        A corpus is read, or its statistics found on disk, and gives whole texts too. Edits go to `browser/` in the
        lab's folder unless `out` names another.
        """
        from fac_lab.corpora import Corpus

        known.setdefault("out", lab.store.root / "browser")
        corpora = dict(known.pop("corpora", None) or {})
        stats = {}
        for role, data in (("anchor", anchor), ("seed", seed)):
            if isinstance(data, Corpus):
                corpora.setdefault(role, data)
                data = lab.stats(data)
            stats[role] = data
        return cls(stats["anchor"], stats["seed"], lab.profile.rule, lab=lab, corpora=corpora, **known)

    # One feature.

    def feature(self, feature: int | None = None) -> FeatureView:
        """All that is known of a feature (the selected one if None) without asking the model."""
        i = self.checked(feature)
        cut, table = self.cut, self.table
        stats = self._measured()
        spans = {role: found.spans(i) for role, found in stats.items()}
        return FeatureView(
            feature=i,
            status=STATUSES[cut.status[i]],
            relevant=bool(table.relevant[i]),
            summary=self._said("summary", i),
            verdict=self._said("verdict", i),
            reason=table.machine_reason[i],
            label_score=_known(table.label_score[i]),
            label_texts=None if np.isnan(table.label_texts[i]) else int(table.label_texts[i]),
            fuzzing_score=_known(table.fuzzing_score[i]),
            anchor_count=int(cut.anchor_count[i]),
            anchor_frequency=float(cut.anchor_count[i] / max(cut.n_anchor, 1)),
            seed_count=int(cut.seed_count[i]),
            seed_frequency=float(cut.seed_count[i] / max(cut.n_seed, 1)),
            maximum=float(table.maximum[i]),
            mean=float(table.mean[i]),
            delta=float(cut.delta[i] if np.ndim(cut.delta) else cut.delta),
            m=cut.m,
            concept=table.concept[i],
            domain=table.domain[i],
            spans=spans,
            histogram=histogram(stats, i),
            samples=self.samples(i),
            history=self.journal.history(i) if self.journal else [],
            absent=self._absent(i, spans),
        )

    def nearest(self, feature: int | None = None, k: int = 8) -> Part[list[tuple[int, float]]]:
        """Features whose decoder directions are closest, with cosines."""
        return part(lambda: self.model.nearest(self.checked(feature), k))

    def lens(self, feature: int | None = None, k: int = 10) -> "Part[Lens]":
        """Tokens that the feature promotes, and those that it suppresses."""
        return part(lambda: self.model.promoted(self.checked(feature), k))

    def map(self) -> Part[np.ndarray]:
        """Every feature's place in two dimensions, float32 `[d_sae, 2]`; computed once, then kept in the store."""
        return part(self.model.dictionary_map)

    def link(self, feature: int | None = None) -> Part[str]:
        """The feature's page on Neuronpedia."""
        return part(
            lambda: self.model.page(self.checked(feature)), nothing="the SAE's metadata name no page on Neuronpedia"
        )

    def heat(self, feature: int | None = None, role: str = "anchor", *, top: int = 10) -> "Part[list[SpanTrace]]":
        """The strongest spans of a data set ("anchor", "seed", "synthetic") token by token, in one go.

        Each is read within its row where the text of that is at hand, else alone (see `SpanTrace.in_context`).
        """
        i = self.checked(feature)
        stats = self._measured().get(role)
        spans = stats.spans(i)[:top] if stats is not None else []
        if not spans:
            return Part.absent(f"the data set {role} has no spans of feature {i}")
        return part(lambda: self.model.trace_spans(spans, self._texts_of(role)))

    # Acting.

    def try_text(
        self, text: str, feature: int | None = None, *, top: int = 8
    ) -> "tuple[Part[Trial], Part[TokenTrace]]":
        """A text against the threshold of a feature, and the feature token by token over it."""
        i = self.checked(feature)
        trial = part(lambda: self.model.trial(text, i, self.cut.delta, self.cut.missing, top=top))
        heat = Part.absent(trial.reason) if trial.value is None else part(lambda: self.model.trace(text, [i]))
        return trial, heat

    def synthesise(self, feature: int | None = None, *, draw: int = 0) -> Part[Written]:
        """Write samples for a feature now, from the summary and verdict that hold; they join `samples`."""
        i = self.checked(feature)
        label = pd.DataFrame(
            {"feature": [i], "summary": [self.table.summary[i]], "relevant": [bool(self.table.relevant[i])]}
        )
        made = part(lambda: self.model.write(label, self.anchor, self.cut.delta, self.cut.missing, draw=draw))
        if made.value is not None:
            self.written.add(made.value.samples)
        return made

    def load_synthetic(self) -> Part[FeatureStats]:
        """Measure the accepted samples, so that `feature` shows them beside anchor and seed."""
        texts = self.accepted()
        if not texts:
            return Part.absent("no samples were written, or all were rejected")
        return part(lambda: self._once("synthetic", tuple(texts), lambda: self.model.stats_of(texts)))

    def import_labels(self, path: str | Path) -> ImportedLabels:
        """Show the explanations of a Neuronpedia file where neither the machine nor a person said anything.

        The id in the SAE's metadata decides whether the file is about it, once the model is loaded. Raises DataError
        (see `neuronpedia.read_labels`).
        """
        known = self.model.lab.sae.cfg.metadata.neuronpedia_id if self.model.loaded else None
        return self._lay_under(read_labels(path, d_sae=self.table.d_sae, source=known))

    # Beside another.

    def sample_view(self) -> Part[SampleView]:
        """The seed's rows: what each covers alone, and which are redundant.

        Where the seed's matrix was not kept, the seed is read again, which takes as long as the first time; the store
        keeps the result.
        """
        return part(lambda: self._once("rows", None, self._rows))

    def compare_threshold(self, delta: float | None = None, m: int | None = None) -> Comparison:
        """The present threshold beside another one (`delta` None: the rule's own)."""
        there = self.live.at(delta, relevant=self.counting, m=m)
        null = None if self.null is None else self.null.at(delta, relevant=self.counting, m=m).n_missing
        names = [f"{_said(cut.delta)}, m {cut.m}" for cut in (self.cut, there)]
        return compare(self.side(names[0]), Side(names[1], self.sae, there, null))

    def compare_data(self, seed: "FeatureStats | Corpus", name: str = "other data") -> Comparison:
        """This seed beside another, against the same anchor, at the same threshold, each with its own support."""
        if not isinstance(seed, FeatureStats):
            seed = self.model.lab.stats(seed)
        cut = LiveThreshold(self.anchor, seed, self.live.rule).at(self.delta, relevant=self.counting, m=self.m)
        return compare(self.side("this data"), Side(name, self.sae, cut))

    def compare_session(self, other: "BrowserSession") -> Comparison:
        """This session beside another one: other data, another anchor, or another model (then counts only)."""
        return compare(self.side(self.name), other.side(other.name))

    # Inside.

    def _absent(self, feature: int, spans: dict[str, list]) -> dict[str, str]:
        """Why parts of a feature are not there, by part."""
        table, absent = self.table, {}
        if "synthetic" not in spans:
            nothing = self.written.frame is None
            absent["synthetic"] = "no samples were written" if nothing else "the samples are not measured yet"
        if self.labels is None:
            absent["labels"] = "no annotator has read these features"
        elif table.machine_summary[feature] is None:
            absent["labels"] = table.machine_reason[feature] or "the annotator has not read this feature"
        if np.isnan(table.label_score[feature]):
            absent["label_score"] = "its label was not scored"
        if table.domain[feature] is None:
            absent["domain"] = "what its texts are about is known in the mini world only"
        if not spans["anchor"]:
            absent["spans"] = "no anchor sample activates it, or no spans were kept"
        return absent

    def _measured(self) -> dict[str, FeatureStats]:
        """Statistics by data set; of the synthetic one where the accepted samples were measured."""
        stats = {"anchor": self.anchor, "seed": self.seed}
        key, synthetic = self._cache.get("synthetic", (None, None))
        if synthetic is not None and key == tuple(self.accepted()):
            stats["synthetic"] = synthetic
        return stats

    def _texts_of(self, role: str) -> dict[str, str]:
        """Texts of the rows that any top span comes from, by id: one pass over the corpus, when first needed."""
        if role not in self.corpora:
            return {}
        if role not in self._texts:
            wanted = set(self._measured()[role].top.table().sample_id.tolist())
            self._texts[role] = {row.id: row.text for row in self.corpora[role] if row.id in wanted}
        return self._texts[role]

    def _rows(self) -> SampleView:
        stats, corpus = self.seed, self.corpora.get("seed")
        if stats.matrix is None:
            if corpus is None:
                raise DataError(
                    "what single rows of the seed activate was not kept, and the seed itself is not at hand: collect "
                    "it with keep_matrix, or open the browser with it"
                )
            stats = self.model.lab.stats(corpus, keep_matrix=True)
        texts = None if corpus is None else {row.id: row.text for row in corpus}
        return SampleView(stats.matrix, stats.sample_ids, texts and [texts.get(i, "") for i in stats.sample_ids])


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _said(delta: float | np.ndarray) -> str:
    return "one delta per feature" if np.ndim(delta) else f"delta {delta:.4g}"
