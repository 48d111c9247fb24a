"""What a collection of 1 million and of 100 million samples takes, from rates measured on one worker.

Give the rates that were measured on the hardware you plan for (the line "collect" of benchmarks/collect.py, or a
short `fac-lab collect` on it), or give none: then collection and merging are measured here, on this machine and
profile, and it is said so.

    python benchmarks/sizing.py --profile mini --workers 8
    python benchmarks/sizing.py --tokens-per-second RATE --tokens-per-sample LENGTH --d-sae 65536 --workers 64
"""

import argparse
import tempfile
from itertools import islice
from pathlib import Path
from time import perf_counter

from fac_lab.sizing import Rates, size


def measure(profile_name: str, samples: int) -> tuple[Rates, int]:
    """Rates of this machine, as one worker, and the number of features."""
    from fac_lab.corpora import Corpus, open_corpus
    from fac_lab.features.collect import collect
    from fac_lab.features.saes import load_sae
    from fac_lab.features.stats import FeatureStats
    from fac_lab.features.subject import Subject
    from fac_lab.profile import load_profile

    profile = load_profile(profile_name)
    began = perf_counter()
    subject = Subject.load(profile.subject)
    sae = load_sae(profile.sae, subject)
    loading = perf_counter() - began
    rows = list(islice(open_corpus(profile.corpora["anchor"], "anchor"), samples))
    tokens = sum(len(text.ids) for text in subject.tokenize([row.text for row in rows], profile.collect.pool))
    began = perf_counter()
    stats = collect(subject, sae, Corpus.from_rows("anchor", rows), profile.collect, progress=False)
    seconds = perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        stats.save(Path(folder))
        began = perf_counter()
        stats.merge(FeatureStats.load(folder))
        merging = perf_counter() - began
    return Rates(tokens / seconds, tokens / len(rows), merge_seconds=merging, load_seconds=loading), stats.d_sae


def main() -> None:
    """Measure where nothing is given, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="mini", help="what to measure (%(default)s)")
    parser.add_argument("--measure", type=int, default=2000, metavar="N", help="rows to measure with (%(default)s)")
    parser.add_argument("--tokens-per-second", type=float, help="measured rate of one worker")
    parser.add_argument("--tokens-per-sample", type=float, help="mean length, template included")
    parser.add_argument("--merge-seconds", type=float, default=0.0, help="measured, per shard (%(default)s)")
    parser.add_argument("--load-seconds", type=float, default=0.0, help="measured, per worker (%(default)s)")
    parser.add_argument("--d-sae", type=int, help="features of the SAE")
    parser.add_argument("--samples", type=int, nargs="+", default=[1_000_000, 100_000_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--rows-per-shard", type=int, default=100_000, help="(%(default)s)")
    options = parser.parse_args()
    given = (options.tokens_per_second, options.tokens_per_sample, options.d_sae)
    if all(value is None for value in given):
        rates, d_sae = measure(options.profile, options.measure)
        print(f"measured here, profile {options.profile}, {options.measure} rows:")
    elif None in given:
        parser.error("--tokens-per-second, --tokens-per-sample and --d-sae belong together: give all, or none")
    else:
        rates = Rates(*given[:2], merge_seconds=options.merge_seconds, load_seconds=options.load_seconds)
        d_sae = options.d_sae
        print("rates as given:")
    print(
        f"{rates.tokens_per_second:,.0f} tokens/s per worker, {rates.tokens_per_sample:.1f} tokens per sample, "
        f"{rates.merge_seconds:.2f} s to merge a shard, {rates.load_seconds:.1f} s to load; {d_sae:,} features"
    )
    for samples in options.samples:
        for workers in options.workers:
            print(size(samples, rates, workers=workers, rows_per_shard=options.rows_per_shard, d_sae=d_sae))


if __name__ == "__main__":
    main()
