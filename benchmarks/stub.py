"""A subject and an SAE that answer at once, as folders on disk: what is measured with them is everything else.

The subject is a Llama of one layer and width 16 over a vocabulary of made-up words, the SAE has random directions.
"""

import json
import random
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from benchmarks.settings import random_sae

WORDS = [a + b + c for a in "bdfgklmn" for b in "aeio" for c in ("ra", "to", "ni", "lu", "sek", "pam")]
"""192 words; the first are the commonest in `write_rows`."""
WIDTH = 16


class Stub(NamedTuple):
    """Folders that `fac-lab audit --model ... --layer 0 --sae ... --template none` takes."""

    model: Path
    sae: Path

    @property
    def options(self) -> list[str]:
        """Those arguments."""
        return ["--model", str(self.model), "--layer", "0", "--sae", str(self.sae), "--template", "none"]


def make_stub(folder: Path, *, d_sae: int = 256, k: int = 4) -> Stub:
    """Write the subject and the SAE below `folder`; the same each time."""
    stub = Stub(folder / "model", folder / "sae")
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(("[UNK]", *WORDS))}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[UNK]")
    config = LlamaConfig(
        vocab_size=len(WORDS) + 1,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    LlamaModel(config).save_pretrained(stub.model)
    tokenizer.save_pretrained(stub.model)
    random_sae(WIDTH, d_sae, k, "blocks.0.hook_resid_post").save_model(stub.sae)
    return stub


def write_rows(path: Path, n: int, *, words: int = len(WORDS), seed: int = 0) -> None:
    """`n` rows `{"id", "text"}` of three to eight of the first `words` words, written one after the other."""
    dice = random.Random(seed)
    among = WORDS[:words]
    weights = [1 / (place + 3) for place in range(words)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(n):
            text = " ".join(dice.choices(among, weights, k=dice.randint(3, 8)))
            file.write(json.dumps({"id": f"{seed}-{number}", "text": text}) + "\n")
