"""`fac-lab collect`: activations in shards, over several processes or machines."""

import argparse
from pathlib import Path

from fac_lab.commands.options import add_profile


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    collect = commands.add_parser("collect", help="collect activations in shards, over several processes or machines")
    collect.add_argument("source", type=Path, metavar="SOURCE", help="a folder of parquet shards, or one file of texts")
    collect.add_argument("--text-column", default="text", metavar="NAME", help="column of the texts (%(default)s)")
    collect.add_argument("--id-column", metavar="NAME", help="column of ids (rows are numbered)")
    collect.add_argument("--out", type=Path, default=Path("runs/audit"), help="folder of the run (%(default)s)")
    add_profile(collect)
    collect.add_argument("--workers", type=int, default=0, metavar="N", help="processes; 0: this one, without Ray")
    collect.add_argument("--cpus", type=int, default=1, metavar="N", help="cores of each worker (%(default)s)")
    collect.add_argument("--gpus", type=float, metavar="N", help="GPUs of each worker (1 where there are any)")
    collect.add_argument("--ray", metavar="ADDRESS", help='a Ray cluster, "auto" for this machine\'s (a local one)')
    collect.add_argument("--chunks", type=int, default=10, metavar="N", help="chunks per shard of a file (%(default)s)")
    collect.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    from time import monotonic

    from fac_lab.corpora import Corpus
    from fac_lab.lab import Lab
    from fac_lab.shards import open_shards, write_shards

    lab = Lab.open(args.profile, out=args.out / "store")
    columns = {"text_column": args.text_column, "id_column": args.id_column}
    if args.source.is_dir():
        shards = open_shards(args.source, **columns)
    else:
        corpus = Corpus.from_file(args.source, **columns)
        shards = write_shards(corpus, lab.store, rows=args.chunks * lab.profile.collect.chunk)
    began = monotonic()
    stats = lab.stats_of_shards(shards, workers=args.workers, cpus=args.cpus, gpus=args.gpus, address=args.ray)
    print(
        f"{len(shards.files)} shards, {stats.n_samples} samples, {stats.n_tokens} pooled tokens, "
        f"{(stats.maximum > 0).sum()} of {stats.d_sae} features active; {monotonic() - began:.1f} s"
    )
    return 0
