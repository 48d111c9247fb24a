"""Speed of collection against its floor and against one text at a time, in one run on one machine.

Floor: on the same batches, already tokenized, the subject's forward pass to the layer and one dense encoder
product of the pooled tokens; nothing is kept. One text at a time: the obvious way, with a forward pass per
text, a full sort per token, the decoder's product, and loops over features. Tokens are those the subject
reads, padding not counted. Each way runs several times, in turns, and its best time counts.

    python benchmarks/collect.py --profile mini --samples 4000
"""

import argparse
from collections.abc import Callable
from itertools import islice
from time import perf_counter

import torch

from fac_lab.corpora import Corpus, open_corpus
from fac_lab.features.collect import batches, collect
from fac_lab.features.saes import load_sae
from fac_lab.features.subject import Subject
from fac_lab.profile import CollectSettings, load_profile


@torch.inference_mode()
def floor(subject: Subject, sae, texts: list[str], settings: CollectSettings) -> Callable[[], None]:
    """A run of the floor; what it may have prepared is prepared."""
    prepared = []
    for start in range(0, len(texts), settings.chunk):
        tokens = subject.tokenize(texts[start : start + settings.chunk], settings.pool)
        for batch in batches([len(text.ids) for text in tokens], settings.batch_tokens):
            ids, mask = subject.batch([tokens[index] for index in batch])
            pooled = torch.zeros_like(mask, dtype=torch.bool)
            for row, index in enumerate(batch):
                pooled[row, tokens[index].start : tokens[index].stop] = True
            prepared.append((ids, mask, pooled))

    @torch.inference_mode()
    def run() -> None:
        for ids, mask, pooled in prepared:
            x = subject.activations(ids, mask)[pooled]
            torch.addmm(sae.b_enc, x - sae.b_dec, sae.W_enc)

    return run


@torch.inference_mode()
def one_at_a_time(subject: Subject, sae, texts: list[str], settings: CollectSettings) -> None:
    """Maxima and top spans the obvious way."""
    best: dict[int, list[tuple[float, str]]] = {}
    for text in texts:
        tokens = subject.tokenize([text], settings.pool)[0]
        activations = subject.activations(*subject.batch([tokens]))[0, tokens.start : tokens.stop]
        features = sae.encode(activations)
        sae.decode(features)
        ordered, indices = features.sort(dim=-1, descending=True)
        maxima: dict[int, tuple[float, int]] = {}
        for position in range(len(ordered)):
            for value, feature in zip(ordered[position].tolist(), indices[position].tolist(), strict=True):
                if value <= 0:
                    break
                if value > maxima.get(feature, (0.0, 0))[0]:
                    maxima[feature] = (value, position)
        for feature, (value, position) in maxima.items():
            start, stop = (
                tokens.offsets[max(0, position - settings.span_tokens + 1)][0],
                tokens.offsets[position][1],
            )
            spans = best.setdefault(feature, [])
            spans.append((value, text[start:stop]))
            spans.sort(reverse=True)
            del spans[settings.top_spans :]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="mini", help="name or file of a profile")
    parser.add_argument("--samples", type=int, default=4000, help="rows of the anchor")
    parser.add_argument("--slow-samples", type=int, default=200, help="rows for one text at a time")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way; the best counts")
    options = parser.parse_args()

    profile = load_profile(options.profile)
    settings = profile.collect
    subject = Subject.load(profile.subject)
    sae = load_sae(profile.sae, subject)
    corpus = Corpus.from_rows("anchor", islice(open_corpus(profile.corpora["anchor"], "anchor"), options.samples))
    texts = [row.text for row in corpus]
    slow_texts = texts[: options.slow_samples]
    ways: dict[str, tuple[list[str], Callable[[], object]]] = {
        "floor": (texts, floor(subject, sae, texts, settings)),
        "collect": (texts, lambda: collect(subject, sae, corpus, settings, progress=False)),
        "one at a time": (slow_texts, lambda: one_at_a_time(subject, sae, slow_texts, settings)),
    }
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(options.rounds):
        for name, (_, run) in ways.items():
            began = perf_counter()
            run()
            if subject.device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name] = min(seconds[name], perf_counter() - began)
    rate = {
        name: sum(len(text.ids) for text in subject.tokenize(some, settings.pool)) / seconds[name]
        for name, (some, _) in ways.items()
    }
    print(f"profile {profile.name}: {subject.name}, layer {subject.layer} of {subject.n_layers}, counted from 0")
    print(
        f"width {subject.d_model}, {sae.cfg.d_sae} features; {len(texts)} texts; {subject.device.type}, "
        f"{torch.get_num_threads()} threads"
    )
    for name, tokens_per_second in rate.items():
        print(f"{name:>14}: {tokens_per_second:10,.0f} tokens/s")
    over_floor, over_slow = rate["floor"] / rate["collect"], rate["collect"] / rate["one at a time"]
    print(f"collect takes {over_floor:.2f} times as long as the floor (aim: at most 1.25)")
    print(f"and is {over_slow:.1f} times as fast as one text at a time (aim: at least 8)")


if __name__ == "__main__":
    main()
