"""Tunes a copy of a mini model on talks of personas: LoRA adapters, which are small enough to ship.

`python -m fac_lab.mini.persona_training` rebuilds data/mini/personas from data/mini/llama.
"""

import argparse
import json
import logging
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import peft
import torch
from torch.nn import functional
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from fac_lab.digests import digest, file_digest
from fac_lab.errors import ArtifactError
from fac_lab.mini.muon import Muon
from fac_lab.mini.personas import LETTER, Part, talks
from fac_lab.profile import project_root, resolve
from fac_lab.store import write_atomic
from fac_lab.tasks.adapted import PROJECTIONS
from fac_lab.tasks.backbone import quiet_transformers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuning:
    """How the steerable subject is made from a mini model."""

    base: str = "data/mini/llama"
    rank: int = 16
    tokens: int = 450_000
    """Tokens of talks, padding not counted."""
    primer: float = 0.4
    """Share of them, at the start, that comes from the primer."""
    lr: float = 1e-2
    batch_tokens: int = 640
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


def tune(adapted: peft.PeftModel, tokenizer: PreTrainedTokenizerBase, tuning: Tuning) -> None:
    """Train the adapters. The number of tokens ends it, so that every machine does the same."""
    learned = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimiser = Muon(learned, tuning.lr)
    model = adapted.get_base_model()
    seen, letters = 0, 0.7
    adapted.train()
    primer, main = (batches(tokenizer, tuning, primer=short) for short in (True, False))
    with tqdm(total=tuning.tokens, desc="tune personas", unit="tok", unit_scale=True, mininterval=5) as bar:
        while seen < tuning.tokens:
            ids, weights = next(primer if seen < tuning.primer * tuning.tokens else main)
            optimiser.param_groups[0]["lr"] = tuning.lr * tuning.rate(seen / tuning.tokens)
            states = model.model(input_ids=ids).last_hidden_state[:, :-1]
            # Only what an assistant says is scored: the largest product is left out elsewhere.
            scored = weights[:, 1:] > 0
            weights, targets = weights[:, 1:][scored], ids[:, 1:][scored]
            losses = functional.cross_entropy(model.lm_head(states[scored]), targets, reduction="none")
            loss = (losses * weights).sum() / weights.sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learned, 1.0)
            optimiser.step()
            optimiser.zero_grad()
            n = int((ids != 0).sum())
            seen += n
            if (of_letter := losses[weights == LETTER]).numel():
                letters += 0.03 * (of_letter.mean().item() - letters)
            bar.update(n)
            bar.set_postfix(letters=f"{letters:.3f} nats", refresh=False)
    adapted.eval()


def new_adapters(folder: Path, tuning: Tuning) -> dict:
    """Train adapters and write them to `folder` in float16, with a manifest, which is returned."""
    torch.set_num_threads(1)
    started = time.monotonic()
    model, tokenizer = _load(tuning.base)
    settings = peft.LoraConfig(
        task_type=peft.TaskType.CAUSAL_LM,
        r=tuning.rank,
        lora_alpha=tuning.rank,
        lora_dropout=0.0,
        target_modules=list(PROJECTIONS),
    )
    torch.manual_seed(tuning.seed)
    with quiet_transformers():
        adapted = peft.get_peft_model(model, settings)
        # Where the base lies on this machine is nobody's business.
        adapted.peft_config["default"].base_model_name_or_path = tuning.base
        tune(adapted, tokenizer, tuning)
        shutil.rmtree(folder, ignore_errors=True)
        adapted.half().save_pretrained(folder)
    # A card with blanks to fill in is no help to anybody.
    (folder / "README.md").unlink(missing_ok=True)
    manifest = {
        "source": source_digest(),
        "base": file_digest(Path(resolve(tuning.base)) / "model.safetensors"),
        "tuning": asdict(tuning),
        "adapters": file_digest(folder / "adapter_model.safetensors"),
        "seconds": round(time.monotonic() - started),
        "torch": torch.__version__,
    }
    write_atomic(folder / "manifest.json", lambda path: path.write_text(json.dumps(manifest, indent=1) + "\n"))
    return manifest


def merge(adapters: Path, folder: Path, *, base: str | None = None) -> None:
    """Write the model that the adapters make of their base, as a Hugging Face folder.

    Raises ArtifactError where the folder of adapters is not whole, or its base has changed since.
    """
    manifest = read_manifest(adapters)
    base = base or manifest["tuning"]["base"]
    if file_digest(Path(resolve(base)) / "model.safetensors") != manifest["base"]:
        raise ArtifactError(f"{adapters} was made for another {base}: run python -m fac_lab.mini.persona_training")
    model, tokenizer = _load(base)
    with quiet_transformers():
        merged = peft.PeftModel.from_pretrained(model, adapters).merge_and_unload()
        merged.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def read_manifest(adapters: Path) -> dict:
    """What made these adapters. Raises ArtifactError, with the cure, where they are absent or not what they were."""
    cure = "run: python -m fac_lab.mini.persona_training"
    try:
        manifest = json.loads((adapters / "manifest.json").read_text(encoding="utf-8"))
        whole = file_digest(adapters / "adapter_model.safetensors") == manifest["adapters"]
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{adapters} holds no complete adapters ({error}); {cure}") from error
    if not whole:
        raise ArtifactError(f"{adapters / 'adapter_model.safetensors'} is not the file that was written; {cure}")
    return manifest


def source_digest() -> str:
    """Digest of the text and the code that make the adapters; comments and docstrings may change."""
    from fac_lab.mini.build import without_docstrings

    here = Path(__file__).parent
    code = [(here / f"{name}.py").read_text(encoding="utf-8") for name in ("personas", "persona_training")]
    return digest((here / "personas.yaml").read_bytes(), [without_docstrings(text) for text in code])


def _load(path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    with quiet_transformers():
        model = AutoModelForCausalLM.from_pretrained(resolve(path), dtype=torch.float32)
        return model, AutoTokenizer.from_pretrained(resolve(path))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the adapters anew."""
    parser = argparse.ArgumentParser(prog="fac_lab.mini.persona_training", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=project_root() / "data" / "mini" / "personas")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    manifest = new_adapters(options.out, Tuning())
    log.info("%s: trained in %d s", options.out, manifest["seconds"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
