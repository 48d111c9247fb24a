"""Ways to the same activations that have to agree: each is equal within rounding, or refused with a reason."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch

from fac_lab.collect_protocol import CollectProtocol
from fac_lab.errors import ModelError
from fac_lab.features.collect import measure
from fac_lab.features.subject import Subject
from fac_lab.lab import Lab
from fac_lab.profile import project_root
from fac_lab.settings import CollectSettings
from fac_lab.studies.transfer import model_labs

FEW = 8
"""Texts by which a study compares."""
TOLERANCE = 1e-4
"""Largest difference that is called rounding, as a share of the largest value."""
EQUAL, REFUSED, DIFFERENT = "equal", "refused", "different"
Pair = tuple[np.ndarray, np.ndarray]


def equalities(subject: Subject, sae: Any, texts: Sequence[str]) -> pd.DataFrame:
    """One row per way: `what`, `outcome` (equal, refused or different), `difference` (the largest, NaN where refused),
    `largest` (the largest value compared) and `said` (the refusal).

    `subject` has a chat template; `texts` are of several lengths, the longest of more than 16 tokens.
    """
    rows = []
    for what, way in WAYS.items():
        try:
            one, other = way(subject, sae, list(texts))
        except ModelError as error:
            said = str(error).replace(f"{project_root()}/", "")  # the same on every machine
            rows.append({"what": what, "outcome": REFUSED, "difference": np.nan, "largest": np.nan, "said": said})
            continue
        difference, largest = float(np.abs(one - other).max()), float(np.abs(one).max())
        outcome = EQUAL if difference <= TOLERANCE * largest else DIFFERENT
        rows.append({"what": what, "outcome": outcome, "difference": difference, "largest": largest, "said": ""})
    return pd.DataFrame(rows)


def equalities_study(lab: Lab) -> pd.DataFrame:
    """`equalities` of the embedded chat models on the first texts of the pool, with a column `model` in front."""
    texts = [row.text for row in islice(lab.corpus("pool"), FEW)]
    tables = {name: equalities(own.subject, own.sae, texts) for name, own in model_labs(lab).items()}
    return pd.concat(tables, names=["model"]).reset_index(level="model").reset_index(drop=True)


def _alone(subject: Subject, texts: Sequence[Any]) -> np.ndarray:
    """Activations of each text in a batch of its own, one after another: `[n_tokens, d_model]`."""
    return np.concatenate([subject.activations(*subject.batch([text]))[0].float().cpu().numpy() for text in texts])


def _padded_right(subject: Subject, sae: Any, texts: list[str]) -> Pair:
    tokens = subject.tokenize(texts)
    ids, mask = subject.batch(tokens)
    return subject.activations(ids, mask)[mask.bool()].float().cpu().numpy(), _alone(subject, tokens)


def _padded_left(subject: Subject, sae: Any, texts: list[str]) -> Pair:
    tokens = subject.tokenize(texts)
    ids, mask = subject.batch(tokens)
    shift = (mask == 0).sum(dim=1).tolist()
    ids, mask = (torch.stack([row.roll(n) for row, n in zip(rows, shift, strict=True)]) for rows in (ids, mask))
    return subject.activations(ids, mask)[mask.bool()].float().cpu().numpy(), _alone(subject, tokens)


def _template_masked(subject: Subject, sae: Any, texts: list[str]) -> Pair:
    """The template's prefix left out by its place, and by its number of tokens."""
    n = subject.tokenize(texts[:1])[0].start
    fixed = CollectProtocol(prefix="fixed", prefix_tokens=n)
    return measure(subject, sae, texts), measure(subject, sae, texts, settings=CollectSettings(protocol=fixed))


def _slow(subject: Subject, sae: Any, texts: list[str], ranges: Callable[[Any], slice]) -> np.ndarray:
    """Pooled features, one text at a time, over a range of its tokens."""
    found = []
    for text in subject.tokenize(texts):
        with torch.inference_mode():
            states = subject.activations(*subject.batch([text]))[0, ranges(text)]
            found.append(sae.encode(states).max(dim=0).values.clamp(min=0).float().cpu().numpy())
    return np.stack(found)


def _bos_counted(subject: Subject, sae: Any, texts: list[str]) -> Pair:
    everything = CollectSettings(protocol=CollectProtocol(prefix="fixed", prefix_tokens=0))
    slow = _slow(subject, sae, texts, lambda text: slice(None))
    return slow, measure(subject, sae, texts, settings=everything)


def _bos_masked(subject: Subject, sae: Any, texts: list[str]) -> Pair:
    """Without a template, the tokenizer's own special tokens are read and not pooled."""
    plain = _like(subject, template="none")
    begun = len(subject.tokenizer("a")["input_ids"]) - len(
        subject.tokenizer("a", add_special_tokens=False)["input_ids"]
    )
    return _slow(plain, sae, texts, lambda text: slice(begun, None)), measure(plain, sae, texts)


def _last_layer(subject: Subject, sae: Any, texts: list[str]) -> Pair:
    """What the hook reads at the last layer, and what the model hands to its final norm."""
    last = _like(subject, layer=subject.n_layers - 1)
    ids, mask = last.batch(last.tokenize(texts))
    seen: list[torch.Tensor] = []
    handle = last.model.get_decoder().norm.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    try:
        with torch.inference_mode():
            last.forward(ids, mask)
    finally:
        handle.remove()
    pair = (last.activations(ids, mask), seen[0])
    return tuple(states[mask.bool()].float().cpu().numpy() for states in pair)


def _layer_beyond(subject: Subject, sae: Any, texts: list[str]) -> Pair:
    return _padded_right(_like(subject, layer=subject.n_layers), sae, texts)


def _one_token(subject: Subject, sae: Any, texts: list[str]) -> Pair:
    """A text of one token: its features are those of that token."""
    content = CollectSettings(pool="content")
    (tokens,) = subject.tokenize(["a"], "content")
    if tokens.stop - tokens.start != 1:
        raise ModelError("the tokenizer makes more than one token of a letter")
    slow = _slow(subject, sae, ["a"], lambda text: slice(tokens.start, tokens.stop))
    return slow, measure(subject, sae, ["a"], settings=content)


def _too_long(subject: Subject, sae: Any, texts: list[str]) -> Pair:
    """A text over the limit, and the same text cut where the limit falls."""
    longest = max(subject.tokenize(texts), key=lambda tokens: len(tokens.ids))
    short = _like(subject, max_tokens=len(longest.ids) - 5)
    cut = []
    for text, tokens in zip(texts, short.tokenize(texts, "content"), strict=True):
        cut.append(text[: tokens.offsets[-1][1]])
    return measure(short, sae, texts), measure(subject, sae, cut)


def _no_room(subject: Subject, sae: Any, texts: list[str]) -> Pair:
    return measure(_like(subject, max_tokens=3), sae, texts), measure(subject, sae, texts)


def _norms_folded(subject: Subject, sae: Any, texts: list[str]) -> Pair:
    """Decoder rows of other lengths, the encoder scaled against them, then folded: the features of the SAE, folded."""
    plain, scaled = deepcopy(sae), deepcopy(sae)
    by = torch.linspace(0.5, 2.0, sae.cfg.d_sae, device=sae.W_dec.device)
    with torch.no_grad():
        scaled.W_dec.mul_(by[:, None])
        scaled.W_enc.div_(by)
        scaled.b_enc.div_(by)
    for one in (plain, scaled):
        one.fold_W_dec_norm()
    return measure(subject, plain, texts), measure(subject, scaled, texts)


def _norms_not_folded(subject: Subject, sae: Any, texts: list[str]) -> Pair:
    """The SAE as it is, times the norms of its decoder, and folded."""
    folded = deepcopy(sae)
    folded.fold_W_dec_norm()
    norms = sae.W_dec.detach().norm(dim=-1).float().cpu().numpy()
    return measure(subject, sae, texts) * norms, measure(subject, folded, texts)


def _like(subject: Subject, **changed: Any) -> Subject:
    """The same model and tokenizer under other settings."""
    kept = {
        "name": subject.name,
        "layer": subject.layer,
        "max_tokens": subject.max_tokens,
        "template": subject.template,
    }
    return Subject(subject.model, subject.tokenizer, **kept | changed)


WAYS: dict[str, Callable[[Subject, Any, list[str]], Pair]] = {
    "padded right, and alone": _padded_right,
    "padded left, and alone": _padded_left,
    "template masked by place, and by number": _template_masked,
    "BOS and template counted": _bos_counted,
    "BOS masked, no template": _bos_masked,
    "last layer, and what the final norm is given": _last_layer,
    "a layer behind the last": _layer_beyond,
    "a text of one token": _one_token,
    "a text over the limit, and cut by hand": _too_long,
    "a limit without room for text": _no_room,
    "decoder norms scaled and folded": _norms_folded,
    "decoder norms multiplied, and folded": _norms_not_folded,
}
