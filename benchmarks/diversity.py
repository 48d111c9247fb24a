"""Seconds (by the clock, and of the processor) and most memory of each diversity metric, each in a process of its own.

The texts are the mini world's queries; vectors and gradients are random numbers of the usual widths, since the metrics'
cost does not depend on what they are. `--models` measures the two that need a model as well, on a tenth of the texts.

    python -m benchmarks.diversity --texts 100000
"""

import argparse
from time import perf_counter, process_time

import numpy as np

from benchmarks.timing import alone

CLUSTERED = 5000


def one(name: str, n: int, width: int) -> tuple[float, float, float]:
    """Seconds and processor seconds of one metric on `n` texts, and its value. Making the input is not counted."""
    from fac_lab.diversity import METRICS, diversity, find_clusters

    needs, dice = METRICS[name].needs, np.random.default_rng(0)
    texts = sample(n) if needs in ("", "parser") else [""] * n
    given = {}
    if needs in ("vectors", "clusters"):
        given["vectors"] = dice.standard_normal((n, width), np.float32)
    if needs == "gradients":
        given["gradients"] = dice.standard_normal((n, 1024), np.float32)
    if needs == "clusters":
        given["clusters"] = find_clusters(dice.standard_normal((CLUSTERED, width), np.float32), 100)
    began, busy = perf_counter(), process_time()
    value = diversity(texts, only=[name], **given)[name]
    return perf_counter() - began, process_time() - busy, float(value)


def model_step(name: str, n: int, profile: str) -> tuple[float, float, int]:
    """Seconds and processor seconds of making `n` vectors or gradients with the profile's subject, and their width."""
    from fac_lab.features.embeddings import embed
    from fac_lab.features.gradients import loss_gradients
    from fac_lab.features.subject import Subject
    from fac_lab.profile import load_profile

    subject, texts = Subject.load(load_profile(profile).subject), sample(n)
    began, busy = perf_counter(), process_time()
    made = {"embed": embed, "loss_gradients": loss_gradients}[name](subject, texts)
    return perf_counter() - began, process_time() - busy, made.shape[1]


def sample(n: int) -> list[str]:
    """Queries of the mini world, always the same."""
    from itertools import islice

    from fac_lab.corpora import open_corpus
    from fac_lab.settings import CorpusSettings

    return [row.text for row in islice(open_corpus(CorpusSettings(source="mini", n=n, seed=1), "anchor"), n)]


def main() -> None:
    """Measure and print, a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=100_000, help="(%(default)s)")
    parser.add_argument("--width", type=int, default=384, help="of the vectors (%(default)s)")
    parser.add_argument("--only", nargs="+", help="these metrics; all if not given")
    parser.add_argument("--models", metavar="PROFILE", help="also measure this profile's embeddings and gradients")
    options = parser.parse_args()
    from fac_lab.diversity import METRICS

    print(f"{options.texts:,} texts: metric, seconds, processor seconds, GB at most, value", flush=True)
    for name in options.only or METRICS:
        (seconds, busy, value), peak = alone(one, name, options.texts, options.width)
        print(f"{name:20} {seconds:8.2f} {busy:8.2f} {peak:6.2f} {value:10.4g}", flush=True)
    for name in ("embed", "loss_gradients") if options.models else ():
        n = options.texts // 10
        (seconds, busy, width), peak = alone(model_step, name, n, options.models)
        print(f"{name:20} {seconds:8.2f} {busy:8.2f} {peak:6.2f} for {n:,} texts, width {width}", flush=True)


if __name__ == "__main__":
    main()
