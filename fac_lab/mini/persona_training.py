"""Tunes a copy of a mini model on talks of personas, which makes it steerable; the model itself stays as it is.

All weights are trained, as the mini models were: matrices by Muon, the rest by AdamW. A minute and a half on one core.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch.nn import functional
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

import fac_lab.mini
from fac_lab.digests import digest
from fac_lab.mini.muon import Muon
from fac_lab.mini.personas import FIRST, Part, talks
from fac_lab.tasks.backbone import quiet_transformers


@dataclass(frozen=True)
class Tuning:
    """How the steerable subject is made from a mini model."""

    tokens: int = 250_000
    """Tokens of talks, padding not counted."""
    primer: float = 0.2
    """Share of them, at the start, that comes from the primer."""
    lr_matrices: float = 4e-3
    lr_others: float = 2e-3
    batch_tokens: int = 768
    warm_up: float = 0.03
    seed: int = 0

    def rate(self, done: float) -> float:
        """Factor on the learning rate when the share `done` of the tokens has been seen."""
        return min(1.0, (done + 0.005) / self.warm_up, max(0.02, (1 - done) / 0.6))


def encode(tokenizer: PreTrainedTokenizerBase, talk: list) -> tuple[list[int], list[float]]:
    """Token ids of a talk and the loss weight of each; 0 for what users and systems say."""
    messages = [
        turn if isinstance(turn, dict) else {"role": "assistant", "content": "".join(part.text for part in turn)}
        for turn in talk
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    weights, place = [0.0] * len(tokens["input_ids"]), 0
    for turn in talk:
        if isinstance(turn, dict):
            place = text.index(turn["content"], place) + len(turn["content"])
            continue
        place = text.index("".join(part.text for part in turn), place)
        # The end of the turn is to be learned too.
        for part in (*turn, Part(tokenizer.eos_token, 1.0)):
            for i, (start, stop) in enumerate(tokens["offset_mapping"]):
                if place <= start and stop <= place + len(part.text):
                    weights[i] = part.weight
            place += len(part.text)
    return tokens["input_ids"], weights


def batches(
    tokenizer: PreTrainedTokenizerBase, tuning: Tuning, *, primer: bool = False, block: int = 1024
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless right-padded batches of talks of like length: ids and loss weights, both [n, t]."""
    shuffle = random.Random(tuning.seed).shuffle
    stream = talks(1000 + tuning.seed, primer=primer)
    while True:
        encoded = sorted((encode(tokenizer, talk) for talk in islice(stream, block)), key=lambda pair: len(pair[0]))
        groups: list[list] = [[]]
        for pair in encoded:
            if groups[-1] and (len(groups[-1]) + 1) * len(pair[0]) > tuning.batch_tokens:
                groups.append([])
            groups[-1].append(pair)
        shuffle(groups)
        for group in groups:
            longest = max(len(ids) for ids, _ in group)
            yield (
                torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in group]),
                torch.tensor([weights + [0.0] * (longest - len(weights)) for _, weights in group]),
            )


def tune(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tuning: Tuning) -> None:
    """Train a causal language model. The number of tokens ends it, so that every machine does the same."""
    named = list(model.named_parameters())
    matrices = [weight for name, weight in named if weight.ndim == 2 and "embed" not in name]
    others = [weight for name, weight in named if weight.ndim != 2 or "embed" in name]
    optimisers = [
        (Muon(matrices, tuning.lr_matrices), tuning.lr_matrices),
        (torch.optim.AdamW(others, tuning.lr_others, betas=(0.9, 0.98), weight_decay=0.0), tuning.lr_others),
    ]
    seen, first = 0, 3.0
    model.train()
    primer, main = (batches(tokenizer, tuning, primer=short) for short in (True, False))
    with tqdm(total=tuning.tokens, desc="tune personas", unit="tok", unit_scale=True, mininterval=5) as bar:
        while seen < tuning.tokens:
            ids, weights = next(primer if seen < tuning.primer * tuning.tokens else main)
            for optimiser, rate in optimisers:
                optimiser.param_groups[0]["lr"] = rate * tuning.rate(seen / tuning.tokens)
            states = model.model(input_ids=ids).last_hidden_state[:, :-1]
            # Only what an assistant says is scored: the largest product is left out elsewhere.
            scored = weights[:, 1:] > 0
            weights, targets = weights[:, 1:][scored], ids[:, 1:][scored]
            losses = functional.cross_entropy(model.lm_head(states[scored]), targets, reduction="none")
            loss = (losses * weights).sum() / weights.sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimiser, _ in optimisers:
                optimiser.step()
                optimiser.zero_grad()
            n = int((ids != 0).sum())
            seen += n
            if (of_first := losses[weights == FIRST]).numel():
                first += 0.03 * (of_first.mean().item() - first)
            bar.update(n)
            bar.set_postfix(first_words=f"{first:.2f} nats", refresh=False)
    model.eval()


def tuned_copy(base: str | Path, folder: Path, tuning: Tuning) -> None:
    """Write a tuned copy of the model in `base` to `folder`, in the same layout and in float32."""
    torch.manual_seed(tuning.seed)
    with quiet_transformers():
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(base)
        tune(model, tokenizer, tuning)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def source_digest() -> str:
    """Digest of the wordings and of the code that tune a copy: another one is another subject."""
    here = Path(fac_lab.mini.__file__).parent
    return digest([here / f"{name}" for name in ("personas.yaml", "personas.py", "persona_training.py", "muon.py")])
