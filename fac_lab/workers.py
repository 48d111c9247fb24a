"""A worker of a collection over many machines: it holds model and SAE, and makes one shard after another an artifact.

Each shard ends as an artifact of its own, written atomically with its manifest last; only its number travels
back. So a worker that is killed costs its shard, less the parts of it that are on disk, a run that is killed finds
the finished shards again, and one that was cut off while being written is made again.
"""

import logging
import socket
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import Any

import numpy as np

from fac_lab.errors import ArtifactError, FacLabError, ModelError
from fac_lab.features.archive import SUMMARY
from fac_lab.features.stats import FeatureStats
from fac_lab.settings import CollectSettings, ModelSettings, SaeSettings
from fac_lab.shards import Shards
from fac_lab.store import Artifact, Store

log = logging.getLogger(__name__)

SHARD_STATS_VERSION = 1


@dataclass(frozen=True)
class Reader:
    """What every worker reads with: where it is loaded from, and the digests it has to have there."""

    subject: ModelSettings
    sae: SaeSettings
    collect: CollectSettings
    subject_digest: str
    sae_digest: str
    tokenizer_digest: str

    def load(self) -> tuple[Any, Any]:
        """Subject and SAE on this machine. Raises ModelError unless they are those the run was planned with."""
        from fac_lab.features.encoder import Encoder
        from fac_lab.features.pretrained import tokenizer_digest
        from fac_lab.features.saes import load_sae
        from fac_lab.features.subject import Subject

        subject = Subject.load(self.subject)
        sae = load_sae(self.sae, subject)
        found = {
            f"tokenizer ({self.subject.path})": (tokenizer_digest(subject.tokenizer), self.tokenizer_digest),
            f"model ({self.subject.path})": (subject.digest, self.subject_digest),
            f"SAE ({self.sae.path})": (Encoder(sae).digest, self.sae_digest),
        }
        for what, (ours, planned) in found.items():
            if ours != planned:
                raise ModelError(
                    f"the {what} on {socket.gethostname()} is not the one the run was planned with ({ours} instead "
                    f"of {planned}), so their features cannot be taken together: copy one version to every machine"
                )
        return subject, sae


class ShardWorker:
    """Collects one shard after another; the model is loaded for the first that is not finished."""

    def __init__(self, reader: Reader, shards: Shards, root: str, threads: int | None = None):
        self.reader, self.shards, self.store = reader, shards, Store(root)
        if threads is not None:
            import torch

            torch.set_num_threads(threads)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list]:
        """Ray Data's way to call it: a batch of shard numbers becomes a batch of reports."""
        reports = [self.read(int(number)) for number in batch["shard"]]
        return {key: [report[key] for report in reports] for key in reports[0]}

    def read(self, number: int) -> dict[str, Any]:
        """Collect shard `number` into its artifact; the report says what was done, or what went wrong."""
        began = monotonic()
        report = {"shard": number, "samples": 0, "tokens": 0, "seconds": 0.0, "kind": "", "error": ""}
        try:
            if isinstance(self._loaded, FacLabError):
                raise self._loaded
            facts = self._collect(number, *self._loaded)
        except FacLabError as error:  # one bad shard must not cost the others
            return {**report, "kind": type(error).__name__, "error": str(error)}
        return {**report, "samples": facts["samples"], "tokens": facts["tokens"], "seconds": monotonic() - began}

    def artifact(self, number: int) -> Artifact:
        """Where the statistics of shard `number` are, or will be."""
        reader = self.reader
        return self.store.artifact(
            "shard-stats",
            version=SHARD_STATS_VERSION,
            shard=self.shards.part_digest(number),
            subject=reader.subject_digest,
            sae=reader.sae_digest,
            collect=reader.collect,
        )

    def finished(self, number: int) -> bool:
        """Whether shard `number` is whole on disk."""
        try:
            return self.artifact(number).complete
        except ArtifactError:  # damaged: `read` removes it and makes it again
            return False

    @cached_property
    def _loaded(self) -> tuple[Any, Any] | FacLabError:
        """Subject and SAE; an error is kept, so that a thousand shards do not each load a model in vain."""
        try:
            return self.reader.load()
        except FacLabError as error:
            return error

    def _collect(self, number: int, subject: Any, sae: Any) -> dict[str, Any]:
        from fac_lab.features.collect import collect

        artifact = self.artifact(number)
        with artifact.lock():
            if not _mended(artifact):
                part = self.shards.part(number)
                stats = collect(subject, sae, part, self.reader.collect, artifact=artifact, progress=False)
                artifact.finish(samples=stats.n_samples, tokens=stats.n_tokens)
            return artifact.facts


def _mended(artifact: Artifact) -> bool:
    """Whether the artifact is complete. What of it cannot be read is removed, so that it is made again."""
    try:
        if artifact.complete:
            return True
    except ArtifactError as error:
        log.warning("%s; it is made again now", error)
        artifact.discard()
    for folder in (artifact.path, *sorted((artifact.path / "parts").glob("*"))):
        if (folder / SUMMARY).exists():
            try:
                FeatureStats.load(folder)
            except ArtifactError as error:
                log.warning("%s; it is made again now", error)
                (folder / SUMMARY).unlink()
    return False
