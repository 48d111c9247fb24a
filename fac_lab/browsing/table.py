"""The feature table: what is known of every feature, one row each, filtered and sorted by numpy masks.

Machine columns never change; what people changed lies over them (`apply`), and what depends on the threshold comes
with a `Cut`. So a slider step costs one new mask, not a new table.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_lab.annotation.scores import SCORE_COLUMNS
from fac_lab.annotation.styles import VERDICTS
from fac_lab.browsing.filters import NO_DOMAIN, UNJUDGED, Filters, all_of, any_of, codes_of, within
from fac_lab.browsing.threshold import STATUSES, Cut
from fac_lab.errors import SettingsError
from fac_lab.features.stats import FeatureStats

if TYPE_CHECKING:
    import pandas as pd

    from fac_lab.browsing.edits import Overlay

COLUMNS = (
    *("feature", "status", "relevant", "verdict", "summary", "reason", *SCORE_COLUMNS),
    *("anchor_count", "anchor_frequency", "seed_count", "seed_frequency"),
    *("maximum", "mean", "concept", "domain", "edited"),
)
"""Columns of a table's frame, all of which it sorts by."""


class FeatureTable:
    """One row per feature of a dictionary, in order.

    Arrays are `[d_sae]`; what is not known is None (texts), NaN (label score) or False (relevant). `spans` are the
    texts that a search looks through, one string per feature, or a function that makes them when first needed.
    """

    def __init__(
        self,
        *,
        anchor_maximum: np.ndarray,
        anchor_mean: np.ndarray,
        n_anchor: int,
        n_seed: int,
        labels: "pd.DataFrame | None" = None,
        concepts: np.ndarray | None = None,
        domains: np.ndarray | None = None,
        spans: Any = None,
    ) -> None:
        self.d_sae = len(anchor_maximum)
        self.maximum, self.mean = np.asarray(anchor_maximum), np.asarray(anchor_mean)
        self.n_anchor, self.n_seed = n_anchor, n_seed
        self.machine_summary, self.machine_verdict, self.machine_reason = (self._texts() for _ in range(3))
        self.machine_relevant = np.zeros(self.d_sae, bool)
        self.label_score, self.label_texts, self.fuzzing_score = (np.full(self.d_sae, np.nan) for _ in SCORE_COLUMNS)
        self.concept = self._texts() if concepts is None else np.asarray(concepts, object)
        self.domain = self._texts() if domains is None else np.asarray(domains, object)
        self._spans = spans
        self._span_texts: list[str] | None = None
        if labels is not None:
            self._take_labels(labels)
        self.version = 0
        """Rises when what is shown changes."""
        self.apply(None)

    @classmethod
    def from_stats(cls, anchor: FeatureStats, seed: FeatureStats, **known: Any) -> "FeatureTable":
        """The table of an anchor and a seed; `known` are `labels`, `concepts` and `domains`, as above."""

        def spans() -> list[str]:
            texts: list[list[str]] = [[] for _ in range(anchor.d_sae)]
            for stats in (anchor, seed):
                table = stats.top.table()
                for feature, text in zip(table.feature.tolist(), table.text, strict=True):
                    texts[feature].append(text)
            return ["\n".join(found) for found in texts]

        return cls(
            anchor_maximum=anchor.maximum,
            anchor_mean=anchor.mean_activation(),
            n_anchor=anchor.n_samples,
            n_seed=seed.n_samples,
            spans=spans,
            **known,
        )

    def apply(self, overlay: "Overlay | None", imported: Mapping[int, str] | None = None) -> None:
        """Lay what people changed over the machine's columns, and imported summaries under them.

        A summary is the person's, else the machine's, else the imported one; a verdict the person's, else the
        machine's, and relevance follows from it.
        """
        self.version += 1
        self.summary, self.verdict = self.machine_summary.copy(), self.machine_verdict.copy()
        self.relevant, self.edited = self.machine_relevant.copy(), np.zeros(self.d_sae, bool)
        for feature, text in (imported or {}).items():
            if self.summary[feature] is None:
                self.summary[feature] = text
        if overlay is not None:
            for feature, edit in overlay.summaries.items():
                self.summary[feature], self.edited[feature] = edit.value, True
            for feature, edit in overlay.verdicts.items():
                self.verdict[feature], self.edited[feature] = edit.value, True
                self.relevant[feature] = edit.value != "No"
        self._verdict_code = codes_of(self.verdict, VERDICTS)
        self._domain_names = sorted({name for name in self.domain if name is not None})
        self._domain_code = codes_of(self.domain, self._domain_names)
        self._ranks: dict[str, np.ndarray] = {}
        self._summary_texts: list[str] | None = None
        self._found: dict[str, np.ndarray] = {}

    @property
    def judged(self) -> np.ndarray:
        """Features with a verdict, of a person or the machine, bool `[d_sae]`."""
        return self._verdict_code < len(VERDICTS)

    @property
    def scored(self) -> np.ndarray:
        """Features whose label has a score, bool `[d_sae]`."""
        return ~np.isnan(self.label_score)

    @property
    def domain_names(self) -> list[str]:
        """The domains that occur, sorted."""
        return list(self._domain_names)

    def mask(self, filters: Filters, cut: Cut) -> np.ndarray:
        """The features that pass every filter at a threshold, bool `[d_sae]`."""
        return all_of(self._masks(filters, cut).values(), self.d_sae)

    def facets(self, filters: Filters, cut: Cut) -> dict[str, dict[str, int]]:
        """How many features each option would show: by `status`, `verdicts`, `domains`, and ("yes", "no") by `relevant`
        and `scored`.

        Every option is counted under all other filters, but not under those of its own kind, so that the count
        beside an unticked option says what ticking it would add.
        """
        masks = self._masks(filters, cut)
        options = {
            "status": (cut.status, STATUSES),
            "verdicts": (self._verdict_code, (*VERDICTS, UNJUDGED)),
            "relevant": (self.relevant.astype(np.int8), ("no", "yes")),
            "scored": (self.scored.astype(np.int8), ("no", "yes")),
            "domains": (self._domain_code, (*self._domain_names, NO_DOMAIN)),
        }
        counts = {}
        for kind, (codes, names) in options.items():
            others = all_of((mask for name, mask in masks.items() if name != kind), self.d_sae)
            numbers = np.bincount(codes[others], minlength=len(names))
            counts[kind] = {name: int(number) for name, number in zip(names, numbers, strict=True)}
        return counts

    def order(self, mask: np.ndarray, cut: Cut, *, by: str = "anchor_count", descending: bool = True) -> np.ndarray:
        """Indices of the features of a mask, sorted by a column; ties by feature, what is not known last.

        Raises SettingsError for a column that does not exist.
        """
        rank = self._rank(by, cut)
        features = np.flatnonzero(mask)
        keys = rank[features]
        unknown = np.isnan(keys)
        # Ranks and numbers are both floats, so that one rule serves all columns, either way round.
        return features[np.lexsort((features, np.where(unknown, 0, -keys if descending else keys), unknown))]

    def column(self, name: str, cut: Cut) -> np.ndarray:
        """One of COLUMNS, `[d_sae]`."""
        match name:
            case "feature":
                return np.arange(self.d_sae)
            case "status":
                return np.array(STATUSES, object)[cut.status]
            case "reason":
                return self.machine_reason
            case "anchor_count" | "seed_count":
                return getattr(cut, name)
            case "anchor_frequency":
                return cut.anchor_count / max(self.n_anchor, 1)
            case "seed_frequency":
                return cut.seed_count / max(self.n_seed, 1)
        if name not in COLUMNS:
            raise SettingsError(f"the feature table has no column {name!r}; there are: {', '.join(COLUMNS)}")
        return getattr(self, name)

    def frame(self, features: Sequence[int] | np.ndarray, cut: Cut) -> "pd.DataFrame":
        """The rows of some features, in that order, with all COLUMNS; a text that is not known is None."""
        import pandas as pd

        features = np.asarray(features, np.int64)
        columns = {name: self.column(name, cut)[features] for name in COLUMNS}
        # Left to itself pandas makes texts of its own kind of these, in which None is NaN.
        return pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()})

    def _masks(self, filters: Filters, cut: Cut) -> dict[str, np.ndarray]:
        """A mask per filter that is set, by the filter's name."""
        masks = {}
        if filters.status is not None:
            masks["status"] = any_of(cut.status, filters.status, STATUSES)
        if filters.relevant is not None:
            masks["relevant"] = self.relevant == filters.relevant
        if filters.verdicts is not None:
            masks["verdicts"] = any_of(self._verdict_code, filters.verdicts, (*VERDICTS, UNJUDGED))
        if filters.label_score is not None:
            masks["label_score"] = within(self.label_score, filters.label_score)
        if filters.scored is not None:
            masks["scored"] = self.scored == filters.scored
        if filters.anchor_frequency is not None:
            masks["anchor_frequency"] = within(cut.anchor_count / max(self.n_anchor, 1), filters.anchor_frequency)
        if filters.domains is not None:
            masks["domains"] = any_of(self._domain_code, filters.domains, (*self._domain_names, NO_DOMAIN))
        if filters.text.strip():
            masks["text"] = all_of((self._having(word) for word in filters.text.casefold().split()), self.d_sae)
        if filters.among is not None:
            masks["among"] = np.zeros(self.d_sae, bool)
            masks["among"][np.asarray(filters.among, np.int64)] = True
        if filters.edited is not None:
            masks["edited"] = self.edited == filters.edited
        return masks

    def _having(self, word: str) -> np.ndarray:
        """Features whose summary or spans contain a word (casefolded), bool `[d_sae]`."""
        if re.fullmatch(r"#[0-9]+", word):
            return np.arange(self.d_sae) == int(word[1:])
        if word not in self._found:
            if self._span_texts is None:
                spans = self._spans() if callable(self._spans) else self._spans or [""] * self.d_sae
                self._span_texts = [text.casefold() for text in spans]
            if self._summary_texts is None:
                self._summary_texts = [(text or "").casefold() for text in self.summary]
            if len(self._found) >= 64:
                self._found.clear()
            both = zip(self._summary_texts, self._span_texts, strict=True)
            self._found[word] = np.fromiter((word in a or word in b for a, b in both), bool, self.d_sae)
        return self._found[word]

    def _rank(self, name: str, cut: Cut) -> np.ndarray:
        """A column as numbers that sort alike, NaN where nothing is known; float64 `[d_sae]`."""
        if name == "verdict":
            return np.where(self.judged, -self._verdict_code.astype(float), np.nan)
        if name == "status":
            return -cut.status.astype(float)
        values = self.column(name, cut)
        if values.dtype != object:
            return values.astype(float)
        if name not in self._ranks:
            folded = [None if text is None else text.casefold() for text in values]
            place = {text: number for number, text in enumerate(sorted({text for text in folded if text is not None}))}
            self._ranks[name] = np.array([np.nan if text is None else place[text] for text in folded], float)
        return self._ranks[name]

    def _take_labels(self, labels: "pd.DataFrame") -> None:
        features = labels["feature"].to_numpy(np.int64)
        if len(features) and not 0 <= features.min() <= features.max() < self.d_sae:
            raise SettingsError(
                f"the labels name features {features.min()} to {features.max()}, but the dictionary has 0 to "
                f"{self.d_sae - 1}: they are of another SAE"
            )
        for name in ("summary", "verdict", "reason"):
            if name in labels:
                # A missing text is None in one kind of frame and NaN in another.
                texts = [value if isinstance(value, str) else None for value in labels[name]]
                getattr(self, f"machine_{name}")[features] = texts
        if "relevant" in labels:
            self.machine_relevant[features] = labels["relevant"].map(lambda value: value is True or value == 1)
        for name in SCORE_COLUMNS:
            if name in labels:
                getattr(self, name)[features] = labels[name].to_numpy(float)

    def _texts(self) -> np.ndarray:
        return np.full(self.d_sae, None, object)


def truth_columns(
    anchor: FeatureStats, delta: float | np.ndarray, concepts: Sequence[str] | None, domains: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """The columns `concepts` and `domains` of a table, by the activation mass above `delta`; none where the concepts of
    the anchor's rows (`[n_samples]`) are not known, or its matrix was not kept."""
    if concepts is None or anchor.matrix is None:
        return {}
    from fac_lab.studies.missing import main_concepts

    found = {name: np.full(anchor.d_sae, None, object) for name in ("concepts", "domains")}
    active = np.flatnonzero(anchor.counts(delta))
    if len(active):
        main = main_concepts(active, anchor.matrix, list(concepts), delta).concept.tolist()
        found["concepts"][active] = main
        found["domains"][active] = [domains.get(concept) for concept in main]
    return found
