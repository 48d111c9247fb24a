"""Collection over many machines: Ray Data hands out the shards of a corpus, actors hold model and SAE.

Each shard ends as an artifact of its own, written atomically with its manifest last; only its number travels
back. So a worker that is killed costs its shard, less the parts of it that are on disk (Ray starts another
worker, which goes on behind them), a run that is killed finds the finished shards again, and one that was cut
off while being written is made again. Merging is exact: the result is that of `collect` over the whole corpus
(see `shards` for when this holds to the last bit; the machines have to be of one kind then, with as many
threads). The store and the shards lie in a folder that all machines share.
"""

import logging
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from fac_lab import errors
from fac_lab.errors import ArtifactError, DataError, FacLabError, ModelError, SettingsError
from fac_lab.features.archive import SUMMARY
from fac_lab.features.stats import FeatureStats
from fac_lab.settings import CollectSettings, ModelSettings, SaeSettings
from fac_lab.shards import Shards
from fac_lab.store import Artifact, Store

log = logging.getLogger(__name__)

SHARD_STATS_VERSION = 1
# On a busy machine Ray may miss its own time limits; the second time its files are in memory.
_STARTS = 3
# Only numbers of shards pass through Ray; its default takes a third of the memory.
_OBJECT_STORE_BYTES = 100 * 2**20


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


def collect_shards(
    shards: Shards,
    reader: Reader,
    store: Store,
    *,
    workers: int = 0,
    cpus: int = 1,
    gpus: float | None = None,
    address: str | None = None,
    progress: bool = True,
) -> FeatureStats:
    """Statistics of every feature over all shards, equal to `collect` over `shards.corpus()`.

    `workers` actors with `cpus` cores (threads, too) and `gpus` GPUs each (None: one each where the cluster has
    any) run on the Ray cluster at `address` ("auto": the one this machine belongs to; None: a local one for
    this call); 0 workers read the shards in this process, without Ray. Finished shards are found in `store`.

    A shard that fails does not stop the others: at the end the first error is raised, with their number. Raises
    SettingsError where Ray is missing.
    """
    root = str(Path(store.root).resolve())
    planner = ShardWorker(reader, shards, root)
    numbers = range(len(shards.files))
    todo = [number for number in numbers if not planner.finished(number)]
    made = sorted({*numbers} - {*todo})
    if made:
        log.info("%s: %d of %d shards are finished already", shards.name, len(made), len(numbers))
    options = {"reader": reader, "shards": shards, "root": root}
    reports = _with_ray(options, todo, workers, cpus, gpus, address) if workers else map(planner.read, todo)
    bar = tqdm(total=len(numbers), initial=len(made), unit=" shards", disable=not progress)

    def finished() -> Iterator[Path]:
        """Folders of the shards, those that are made now as they are finished: merging goes on beside the work."""
        failed, lacking = [], set(todo)
        yield from (planner.artifact(number).path for number in made)
        for report in reports:
            bar.update()
            lacking.discard(int(report["shard"]))
            if report["error"]:
                failed.append(report)
                log.warning("shard %s failed: %s", shards.files[report["shard"]].path, report["error"])
            else:
                yield planner.artifact(int(report["shard"])).path
        if lacking:
            raise ArtifactError(
                f"{len(lacking)} of {len(numbers)} shards came to no end; run it again, it goes on there"
            )
        if failed:
            first = min(failed, key=lambda report: report["shard"])
            raise getattr(errors, first["kind"])(
                f"{len(failed)} of {len(numbers)} shards failed, the first of them "
                f"{shards.files[first['shard']].path}: {first['error']} (the others are kept: mend this and run again)"
            )

    with bar:
        total = merged(finished())
    total.made_by = {**total.made_by, "corpora": {shards.digest: shards.name}}
    return total


def merged(folders: Iterable[str | Path]) -> FeatureStats:
    """Saved statistics of different samples added up; the order does not matter.

    Raises SettingsError, with the folder, where one was measured with another model, tokenizer, SAE or pooling;
    ArtifactError for damaged files.
    """
    total = None
    for folder in folders:
        stats = FeatureStats.load(folder)
        try:
            total = stats if total is None else total.merge(stats)
        except SettingsError as error:
            raise SettingsError(f"{folder} does not fit those before it: {error}") from error
    if total is None:
        raise DataError("there are no statistics to merge: name at least one folder")
    return total


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


def _with_ray(
    options: dict[str, Any], todo: list[int], workers: int, cpus: int, gpus: float | None, address: str | None
) -> Iterator[dict[str, Any]]:
    """Reports of the shards as they are finished, from actors on a Ray cluster."""
    if not todo:
        return
    # Ray reports its use to its makers unless told otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Its workers give way to everything else on the machine, and here they are the work.
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise SettingsError(
            f"several workers need Ray ({error}): pip install -c requirements.lock -e '.[scale]'"
        ) from error
    began = not ray.is_initialized()
    if began:
        _connect(ray, address, workers * cpus)
    try:
        if gpus is None:
            gpus = 1 if ray.cluster_resources().get("GPU", 0) else 0
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        # A block per shard: it is what Ray hands out, and what it does again when a worker is lost.
        plan = ray.data.from_items([{"shard": number} for number in todo], override_num_blocks=len(todo))
        reports = plan.map_batches(
            ShardWorker,
            fn_constructor_kwargs={**options, "threads": cpus},
            batch_size=1,
            # One task each, because those that wait for a lost worker wait for its successor.
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(todo)), max_tasks_in_flight_per_actor=1),
            num_cpus=cpus,
            num_gpus=gpus,
        )
        yield from reports.iter_rows()
    finally:
        if began:
            ray.shutdown()


def _connect(ray: Any, address: str | None, cpus: int) -> None:
    """Join the cluster at `address`, or start one here."""
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is not None:
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, ValueError) as error:
            raise SettingsError(
                f"no Ray cluster answers at {address} ({error}): `ray start --head` makes one"
            ) from error
        return
    for left in reversed(range(_STARTS)):
        try:
            ray.init(num_cpus=cpus, object_store_memory=_OBJECT_STORE_BYTES, include_dashboard=False, **quiet)
            return
        except Exception as error:  # Ray gives its processes half a minute and then raises a bare Exception
            ray.shutdown()
            if not left:
                raise SettingsError(
                    f"Ray could not be started on this machine ({error}): it is too busy, or short of memory; try "
                    "again, or name a running cluster"
                ) from error
            log.warning("Ray did not start (%s): trying again", error)
