"""Instruction following (method, section 3): a model tuned on instructions and answers, judged in pairs.

Tuning is TRL's SFTTrainer with LoRA on all linear layers, loss on the answers alone; the adapters are then merged and
the model is saved whole, so that it can be asked like any other (`chat.local`). A judge sees the two answers to each
instruction in both orders; what it says of one place and not of the other cancels.
"""

import logging
import time
from collections.abc import Callable, Sequence
from os.path import commonprefix
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from fac_lab.annotation.ask import ask, questions
from fac_lab.annotation.styles import PAPER, Unreadable, answer_schema, json_object
from fac_lab.chat.client import ChatClient, ChatRequest
from fac_lab.errors import DataError
from fac_lab.prompts import load_prompt
from fac_lab.settings import TuningSettings
from fac_lab.tasks.backbone import own_device, quiet_transformers
from fac_lab.template import encode

log = logging.getLogger(__name__)

PROMPTS = Path(__file__).parent / "prompts"
ALPACA_TEMPLATE = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "{% for message in messages %}{% if message.role == 'user' %}### Instruction:\n{{ message.content }}\n\n"
    "{% elif message.role == 'assistant' %}### Response:\n{{ message.content }}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}### Response:\n{% endif %}"
)
"""The Alpaca format (Taori et al. 2023), for a base model whose tokenizer has no chat template."""
PLACES = ("first", "second", "neither")
TIES = ("neither", "tie", "both", "equal")
"""Words by which a judge says that no answer is better; it is asked for the first."""

Judge = Callable[[str, str, str], float | None]
"""Instruction, first answer, second answer -> 1 where the first is better, 0 where the second is, 0.5 for a tie, None
where it cannot tell."""


class Exchange(NamedTuple):
    """One instruction with the answer to learn from."""

    id: str
    instruction: str
    answer: str


class Verdicts(NamedTuple):
    """A judge on two sets of answers."""

    preferences: np.ndarray
    """[n_instructions] in [0, 1]: 1 where our answer wins in both orders; NaN where nothing could be read."""
    unread: int
    """Verdicts of both orders that could not be read."""
    by_place: float
    """Share of a judge's verdicts that went to the first place: 0.5 is one that places leave cold, NaN none at all."""


def train_assistant(
    model: str | Path,
    exchanges: Sequence[Exchange],
    settings: TuningSettings,
    folder: Path,
    *,
    seed: int,
) -> float:
    """Tune the model of a folder on exchanges and save it, adapters merged, to `folder`; seconds it took.

    A base model without chat template gets Alpaca's. `settings.mode` has to be "lora". Raises DataError for no
    exchanges, and for one without instruction or answer: every prompt is to have a response.
    """
    if settings.mode != "lora":
        raise DataError(f'assistants are tuned with mode "lora", not {settings.mode!r}: a head answers nothing')
    if not exchanges:
        raise DataError("there are no exchanges to learn from: pass instructions with their answers")
    for exchange in exchanges:
        if not exchange.instruction.strip() or not exchange.answer.strip():
            raise DataError(f"exchange {exchange.id} lacks its instruction or its answer: complete it, or drop it")
    import peft
    import transformers
    import trl
    from datasets import Dataset, disable_progress_bars, enable_progress_bars

    started = time.perf_counter()
    transformers.set_seed(seed)
    disable_progress_bars()
    try:
        with quiet_transformers():
            tokenizer = transformers.AutoTokenizer.from_pretrained(model)
            tokenizer.chat_template = tokenizer.chat_template or ALPACA_TEMPLATE
            network = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
            # The model's own sampling settings may contradict each other, which saving it refuses.
            network.generation_config = transformers.GenerationConfig()
            trainer = trl.SFTTrainer(
                model=network,
                args=trl.SFTConfig(
                    output_dir=str(folder / "training"),
                    seed=seed,
                    num_train_epochs=settings.epochs,
                    learning_rate=settings.lr,
                    weight_decay=settings.weight_decay,
                    lr_scheduler_type=settings.schedule,
                    warmup_steps=settings.warm_up,
                    per_device_train_batch_size=settings.batch,
                    max_length=settings.max_tokens,
                    completion_only_loss=True,
                    bf16=own_device().type == "cuda",
                    activation_checkpointing=False,
                    save_strategy="no",
                    logging_strategy="no",
                    report_to="none",
                    use_cpu=own_device().type == "cpu",
                    disable_tqdm=True,
                    dataloader_pin_memory=False,
                ),
                train_dataset=Dataset.from_list(_tokens(tokenizer, exchanges)),
                processing_class=tokenizer,
                peft_config=peft.LoraConfig(
                    task_type=peft.TaskType.CAUSAL_LM,
                    r=settings.r,
                    lora_alpha=settings.alpha,
                    lora_dropout=settings.dropout,
                    target_modules="all-linear",
                ),
            )
            trainer.remove_callback(transformers.PrinterCallback)
            trainer.train()
            trainer.model.merge_and_unload().save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    finally:
        enable_progress_bars()
    seconds = time.perf_counter() - started
    log.info("assistant, seed %d: %d exchanges, %.1f s", seed, len(exchanges), seconds)
    return seconds


def _tokens(tokenizer: Any, exchanges: Sequence[Exchange]) -> list[dict[str, list[int]]]:
    """Exchanges as tokens, and which of these are the answer's: as the model will be asked, where words of its
    template are no tokens either and no date is today's. TRL would read both otherwise."""
    asked = [[{"role": "user", "content": exchange.instruction}] for exchange in exchanges]
    talks = [
        [*turns, {"role": "assistant", "content": exchange.answer}]
        for turns, exchange in zip(asked, exchanges, strict=True)
    ]
    rows = []
    wholes = encode(tokenizer, talks, generation_prompt=False)
    for prompt, whole in zip(encode(tokenizer, asked), wholes, strict=True):
        # Some templates write a prompt otherwise once it is answered: the answer begins where the two part.
        start = len(commonprefix([prompt, whole]))
        rows.append({"input_ids": whole, "completion_mask": [0] * start + [1] * (len(whole) - start)})
    return rows


def answers(chat: ChatClient, instructions: Sequence[str], *, max_tokens: int = 256) -> list[str]:
    """An answer at temperature 0 to each instruction; an empty one where the model gives none, which loses."""
    requests = [ChatRequest(({"role": "user", "content": text},), max_tokens=max_tokens) for text in instructions]
    found = [(reply.text or "").strip() for reply in chat.complete(requests)]
    if empty := sum(not text for text in found):
        log.warning("%d of %d instructions were left without an answer", empty, len(found))
    return found


def compare(instructions: Sequence[str], ours: Sequence[str], theirs: Sequence[str], judge: Judge) -> Verdicts:
    """Both orders of every pair of answers, by a judge that is a function.

    Who gives no answer loses, and the same answer ties: the judge is not asked. DataError where an instruction is
    empty, or not every one has its two answers.
    """
    given = _given(instructions, ours, theirs)
    orders = [
        [
            judge(asked, first, second) if known is None else _seen_from(place, known)
            for known, asked, first, second in zip(given, instructions, *order, strict=True)
        ]
        for place, order in enumerate(((ours, theirs), (theirs, ours)))
    ]
    return _joined(*orders, asked=[known is None for known in given])


def compare_by_chat(
    instructions: Sequence[str], ours: Sequence[str], theirs: Sequence[str], chat: ChatClient
) -> Verdicts:
    """Both orders of every pair, by a chat model that answers in JSON; one repair, then it counts as unread.

    Which pairs it is not asked about, and what is refused, is as in `compare`.
    """
    prompt = load_prompt(PROMPTS, "compare")
    given = _given(instructions, ours, theirs)
    places = [i for i, known in enumerate(given) if known is None]
    conversations = [
        prompt.messages(
            instruction=PAPER.quote(instructions[i]), first=PAPER.quote(pair[0][i]), second=PAPER.quote(pair[1][i])
        )
        for pair in ((ours, theirs), (theirs, ours))
        for i in places
    ]
    schema = answer_schema("better", enum=PLACES)
    requests = questions(conversations, style=PAPER, max_tokens=64, schema=schema)
    read = iter([answer.value for answer in ask(chat, requests, _read_place, style=PAPER)] if requests else ())
    orders = [[next(read) if known is None else _seen_from(place, known) for known in given] for place in (0, 1)]
    return _joined(*orders, asked=[known is None for known in given])


def _given(instructions: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> list[float | None]:
    """What our answers get without a judge; None where one is needed."""
    if not len(instructions) == len(ours) == len(theirs):
        raise DataError(
            f"{len(instructions)} instructions, {len(ours)} answers and {len(theirs)} to compare with: every "
            "instruction needs both; give an empty text for an answer that is lacking, which loses"
        )
    for i, text in enumerate(instructions):
        if not text.strip():
            raise DataError(f"instruction {i} is empty: nothing can be judged by it; drop it with its answers")
    return [
        0.5
        if mine.strip() == other.strip()
        else float(bool(mine.strip()))
        if not (mine.strip() and other.strip())
        else None
        for mine, other in zip(ours, theirs, strict=True)
    ]


def _seen_from(place: int, ours: float) -> float:
    """The verdict on the first place, where ours is in `place`."""
    return 1 - ours if place else ours


def _read_place(text: str) -> float:
    better = json_object(text, "better")["better"]
    word = better.strip().lower() if isinstance(better, str) else better
    if word in TIES:
        return 0.5
    if word not in PLACES:
        raise Unreadable(f'its "better" is none of {", ".join(PLACES)}')
    return {"first": 1.0, "second": 0.0}[word]


def _joined(straight: Sequence[float | None], swapped: Sequence[float | None], asked: Sequence[bool]) -> Verdicts:
    """`straight` with ours in the first place, `swapped` with ours in the second; a judge was `asked` of some."""
    places = np.array([straight, swapped], dtype=float)
    unread = int(np.isnan(places).sum())
    wins = np.stack([places[0], 1 - places[1]])
    known = ~np.isnan(wins)
    n_known = known.sum(0)
    total = np.where(known, wins, 0.0).sum(0)
    preferences = np.divide(total, n_known, out=np.full(len(total), np.nan), where=n_known > 0)
    read = places[:, np.array(asked, dtype=bool)]
    read = read[~np.isnan(read)]
    return Verdicts(preferences, unread, float(read.mean()) if len(read) else float("nan"))
