"""The rows of the study on real data, and what stands for their texts: ToxicChat beside queries of another source.

The data sets are not part of the project: `open_material` reads a folder of copies, as `fac-lab data` describes it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fac_lab.corpora import Row
from fac_lab.digests import digest
from fac_lab.features.archive import read_npz, write_npz
from fac_lab.features.embeddings import embed
from fac_lab.features.subject import Subject
from fac_lab.lab import Lab
from fac_lab.recipes.sources import open_recipe
from fac_lab.rows import Rejection, fault
from fac_lab.store import Artifact

SOURCES = {"test": "toxicchat_test", "train": "toxicchat_train", "foreign": "hh_harmless_base_test"}
VECTORS_VERSION = 1


class Material(NamedTuple):
    """Rows of the study by role. Ids are unique over all of them."""

    toxic: tuple[Row, ...]
    safe: tuple[Row, ...]
    foreign: tuple[Row, ...]
    """Queries of another source, unlabelled and mostly adversarial: noise of one kind, and an anchor."""
    test: tuple[Row, ...]

    @property
    def pool(self) -> tuple[Row, ...]:
        """All rows but the test's, toxic ones first."""
        return self.toxic + self.safe + self.foreign

    def places(self, role: str) -> np.ndarray:
        """Where the rows of a role ("toxic", "safe" or "foreign") are in the pool."""
        sizes = {"toxic": len(self.toxic), "safe": len(self.safe), "foreign": len(self.foreign)}
        start = sum(list(sizes.values())[: list(sizes).index(role)])
        return np.arange(start, start + sizes[role])


def open_material(data_dir: str | Path | None, *, accept: Sequence[str] = ()) -> Material:
    """The study's rows from a folder of copies (see `recipes.sources.open_recipe`, also for `accept`).

    A text that occurs in the test split, or twice, whatever its case and blanks, is left out of the rest.
    """
    test = _usable(SOURCES["test"], data_dir, accept)
    seen = {_plain(row.text) for row in test}
    parts = []
    for name in (SOURCES["train"], SOURCES["foreign"]):
        rows = []
        for row in _usable(name, data_dir, accept):
            if _plain(row.text) not in seen:
                seen.add(_plain(row.text))
                rows.append(row)
        parts.append(rows)
    train, foreign = parts
    return Material(
        tuple(row for row in train if row.label == 1),
        tuple(row for row in train if row.label == 0),
        tuple(row._replace(label=None) for row in foreign),
        tuple(test),
    )


def split_safe(material: Material, spare: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of `spare` safe rows, drawn at random, and of all others."""
    shuffled = np.random.default_rng(0).permutation(material.places("safe"))
    return np.sort(shuffled[:spare]), np.sort(shuffled[spare:])


def text_vectors(lab: Lab, material: Material, proxy: Subject | None = None) -> dict[str, np.ndarray]:
    """What stands for each text, float32: `head [n_pool, d]` and `test [n_test, d]` are what a detector's head sees,
    `sentence [n_pool, d]` means of the last layer over the text's own tokens, of length 1 (of a sentence encoder its
    embeddings; Reimers and Gurevych 2019), `gradients` those of the proxy, if there is one."""
    pool, test = [row.text for row in material.pool], [row.text for row in material.test]
    max_tokens = lab.profile.detector.max_tokens

    def build(artifact: Artifact) -> dict[str, int]:
        head = lab.backbone.pooled(lab.backbone.tokenize(pool + test, max_tokens)).numpy()
        sentence = embed(at_last_layer(lab.subject), pool, progress=True)
        sentence /= np.maximum(np.linalg.norm(sentence, axis=1, keepdims=True), 1e-12)
        found = {"head": head[: len(pool)], "test": head[len(pool) :], "sentence": sentence}
        if proxy is not None:
            from fac_lab.features.gradients import loss_gradients

            found["gradients"] = loss_gradients(proxy, pool, progress=True)
        write_npz(artifact.file("vectors.npz"), **found)
        return {"pool": len(pool), "test": len(test)}

    artifact = lab.store.once(
        "real_vectors",
        build,
        version=VECTORS_VERSION,
        subject=lab.subject.digest,
        texts=digest(pool, test),
        max_tokens=max_tokens,
        proxy=None if proxy is None else proxy.digest,
    )
    return read_npz(artifact.file("vectors.npz"))


def at_last_layer(subject: Subject) -> Subject:
    """The same model, read at its last layer."""
    return Subject(
        subject.model,
        subject.tokenizer,
        name=subject.name,
        layer=subject.n_layers - 1,
        max_tokens=subject.max_tokens,
        template=subject.template,
    )


def _usable(name: str, data_dir: str | Path | None, accept: Sequence[str]) -> list[Row]:
    opened = open_recipe(name, data_dir=data_dir, accept=accept)
    rows = [row for row in opened.read() if not isinstance(row, Rejection) and fault(row) is None]
    return [row._replace(id=f"{name}/{row.id}") for row in rows]


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
