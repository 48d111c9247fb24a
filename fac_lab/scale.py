"""Collection over many machines: Ray Data hands out the shards of a corpus to `workers`, and their results are merged.

A worker that is lost is replaced by Ray, and its successor goes on behind what is on disk. Merging is exact: the
result is that of `collect` over the whole corpus (see `shards` for when this holds to the last bit; the machines have
to be of one kind then, with as many threads). The store and the shards lie in a folder that all machines share.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from fac_lab import errors
from fac_lab.errors import ArtifactError, DataError, SettingsError
from fac_lab.features.stats import FeatureStats
from fac_lab.shards import Shards
from fac_lab.store import Store
from fac_lab.workers import Reader, ShardWorker

log = logging.getLogger(__name__)

# On a busy machine Ray may miss its own time limits; the second time its files are in memory.
_STARTS = 3
# Only numbers of shards pass through Ray; its default takes a third of the memory.
_OBJECT_STORE_BYTES = 100 * 2**20


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
