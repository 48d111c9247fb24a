"""SAE encoding reduced at once to each sample's maxima, so that the dense matrix never outlives a chunk.

Top-K SAEs keep k values per token; only those are reduced (at 65,536 features, 20 numbers instead of 0.26 MB
per token). Every other architecture goes through its own `encode`, chunk by chunk, and its maximum is taken
sample by sample: `max` with its index over a sample's rows was faster than scatter- or sort-based reductions
of all samples together, at 8,192 and at 65,536 features. Plain ReLU on a GPU is one kernel (see `fused`).
"""

from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import torch

from fac_lab.digests import digest
from fac_lab.errors import ModelError
from fac_lab.features import fused
from fac_lab.features.pretrained import weights_digest
from fac_lab.shapes import Float, Int

# Tokens whose dense features exist at once. On a CPU the product is slower below 128 tokens, and memory grows
# for no gain above 512 (measured at 4,096 and 65,536 features); a GPU wants larger products.
_CHUNK_TOKENS = {"cpu": 256, "cuda": 4096}

# Columns whose maximum is taken together on the way to the k largest: 32 to 128 are equally fast.
_GROUP = 64


Columns = tuple[Int[torch.Tensor, " nnz"], Float[torch.Tensor, " nnz"], Int[torch.Tensor, " nnz"]]
"""Positive values: where each is, as `sample * d_sae + feature`; how large it is; in which row of the input."""


class Pooled(NamedTuple):
    """The positive maxima of each feature over each sample's tokens, sorted by (sample, feature)."""

    sample: np.ndarray
    """Segment number, int64 `[nnz]`."""
    feature: np.ndarray
    """Feature index, int64 `[nnz]`."""
    value: np.ndarray
    """`max_t Z_i(x, t)`, float32 `[nnz]`, all above 0."""
    position: np.ndarray
    """The maximum's entry in `positions`, int64 `[nnz]`; the first token if several tie."""


class Encoder:
    """A sae-lens SAE as a map from activations to features; its weights must not change any more.

    `top_k=False` leaves out the selection of a Top-K SAE: a feature's value is then its pre-activation wherever that
    is positive, which for the features that Top-K keeps is the value they have. Plain ReLU SAEs do so anyhow; any
    other architecture raises ModelError.
    """

    def __init__(self, sae, *, top_k: bool = True):
        self.sae = sae.eval()
        cfg = sae.cfg
        self.d_in: int = cfg.d_in
        self.d_sae: int = cfg.d_sae
        # AbsTopK and matching pursuit also have a k, but select differently: they take the general path.
        is_top_k = cfg.architecture() == "topk" and cfg.reshape_activations == "none"
        self.k: int | None = min(cfg.k, cfg.d_sae) if is_top_k else None
        self._scale = None
        if is_top_k and cfg.rescale_acts_by_decoder_norm:
            self._scale = sae.W_dec.detach().norm(dim=-1)
        self._selects = top_k or not is_top_k
        is_relu = cfg.architecture() == "standard" and cfg.reshape_activations == "none"
        self._fuses = (is_relu or not self._selects) and fused.is_available(self.device)
        if not top_k:
            if not is_top_k and cfg.architecture() != "standard":
                raise ModelError(
                    f"collect.protocol.top_k: false reads a Top-K SAE as plain ReLU; this is a {cfg.architecture()} "
                    "one. Set it to true."
                )
            self.k = None

    @cached_property
    def digest(self) -> str:
        """Identifies architecture, settings and weights (a sample of each tensor, see `weights_digest`).

        It is that of the SAE, with Top-K on or off.
        """
        cfg = self.sae.cfg
        facts = {key: value for key, value in cfg.to_dict().items() if key not in ("device", "metadata")}
        return digest("sae", facts, weights_digest(self.sae.state_dict().items()))

    @property
    def device(self) -> torch.device:
        return self.sae.W_enc.device

    @torch.inference_mode()
    def encode(self, x: Float[torch.Tensor, "n d_in"]) -> Float[torch.Tensor, "n d_sae"]:
        """Dense feature activations `[n, d_sae]` of activations `x [n, d_in]`: what `sae.encode` gives, but for
        `top_k=False`."""
        if not self._selects:
            return self._before(x.to(self.device)).relu_()
        features = self.sae.encode(x.to(self.device))
        return features.to_dense() if features.is_sparse else features

    @torch.inference_mode()
    def pool(
        self,
        x: Float[torch.Tensor, "n_tokens d_in"],
        segments: Int[torch.Tensor, " n_tokens"],
        positions: Int[torch.Tensor, " n_tokens"],
    ) -> Pooled:
        """Maximum of every feature over the tokens of each sample.

        `x [n_tokens, d_in]` are the pooled tokens of all samples in order, `segments [n_tokens]` the sample
        of each (ascending), `positions [n_tokens]` what to report as the place of a maximum. Samples without
        tokens simply do not occur in the result. Values that are not positive are left out.
        """
        if len(x) == 0:
            none = np.zeros(0, dtype=np.int64)
            return Pooled(none, none, np.zeros(0, dtype=np.float32), none)
        if self._fuses:
            return self._fused(x.to(self.device), segments.to(self.device), positions)
        chunks, has_split = self._chunks(segments)
        reduce = partial(self._top_k, self.k) if self.k else self._dense
        x, segments = x.to(self.device), segments.to(self.device)
        parts = [reduce(x[rows], segments[rows], rows.start) for rows in chunks]
        key, value, row = (torch.cat(column) for column in zip(*parts, strict=True))
        if self.k or has_split:
            key, value, row = _first_maximum(key, value, row)
        return Pooled(
            torch.div(key, self.d_sae, rounding_mode="floor").cpu().numpy(),
            (key % self.d_sae).cpu().numpy(),
            value.cpu().numpy(),
            positions.to(self.device)[row].cpu().numpy().astype(np.int64),
        )

    def _fused(self, x: torch.Tensor, segments: torch.Tensor, positions: torch.Tensor) -> Pooled:
        """The same for plain ReLU on a GPU, where tokens times features are never in memory."""
        sae = self.sae
        numbers, place = segments.unique_consecutive(return_inverse=True)
        best = fused.segment_maxima(sae.process_sae_in(x), sae.W_enc, sae.b_enc, place, len(numbers))
        value = best.value if self._scale is None else best.value * self._scale
        sample, feature = (value > 0).nonzero(as_tuple=True)
        return Pooled(
            numbers[sample].cpu().numpy(),
            feature.cpu().numpy(),
            value[sample, feature].cpu().numpy(),
            positions.to(self.device)[best.row[sample, feature]].cpu().numpy().astype(np.int64),
        )

    def _chunks(self, segments: torch.Tensor) -> tuple[list[slice], bool]:
        """Runs of rows small enough to encode densely, cut between samples where that is possible.

        Also whether a sample longer than a chunk had to be split, so that its parts need merging.
        """
        step = _CHUNK_TOKENS.get(self.device.type, _CHUNK_TOKENS["cuda"])
        ends = segments.cpu().unique_consecutive(return_counts=True)[1].cumsum(0).numpy()
        chunks, start, has_split = [], 0, False
        while start < len(segments):
            whole = np.searchsorted(ends, start + step, side="right")
            stop = int(ends[whole - 1]) if whole else 0
            if stop <= start:
                stop, has_split = start + step, True
            chunks.append(slice(start, stop))
            start = stop
        return chunks, has_split

    def _top_k(
        self, k: int, x: Float[torch.Tensor, "n d_in"], segments: Int[torch.Tensor, " n"], offset: int
    ) -> Columns:
        """The up to k positive features of each token as `key = segment * d_sae + feature`, value, row."""
        before = self._before(x)
        value, feature = _top(before, k)
        key = segments[:, None] * self.d_sae + feature
        row = torch.arange(offset, offset + len(x), device=x.device)[:, None].expand_as(key)
        keep = value > 0
        return key[keep], value[keep].float(), row[keep]

    def _before(self, x: Float[torch.Tensor, "n d_in"]) -> Float[torch.Tensor, "n d_sae"]:
        """What a Top-K SAE selects from, `[n, d_sae]`."""
        sae = self.sae
        before = torch.addmm(sae.b_enc, sae.process_sae_in(x), sae.W_enc)
        return before if self._scale is None else before.mul_(self._scale)

    def _dense(self, x: Float[torch.Tensor, "n d_in"], segments: Int[torch.Tensor, " n"], offset: int) -> Columns:
        """The positive maxima of each sample in the chunk, sorted by key; the same three columns."""
        features = self.encode(x).float()
        numbers, lengths = segments.unique_consecutive(return_counts=True)
        maxima = [rows.max(dim=0) for rows in features.split(lengths.tolist())]
        best = torch.stack([maximum.values for maximum in maxima])
        sample, feature = (best > 0).nonzero(as_tuple=True)
        row = torch.stack([maximum.indices for maximum in maxima])[sample, feature]
        row += (offset + lengths.cumsum(0) - lengths)[sample]
        return numbers[sample] * self.d_sae + feature, best[sample, feature], row


def _top(x: Float[torch.Tensor, "n d"], k: int) -> tuple[Float[torch.Tensor, "n {k}"], Int[torch.Tensor, "n {k}"]]:
    """The k largest values of each row of `x [n, d]` and their columns, in no order.

    They lie in the k groups of columns with the largest maxima, so only those are searched: three times as fast on a
    CPU, where `topk` handles entries one by one and a maximum many at once.
    """
    n, d = x.shape
    if x.device.type != "cpu" or d % _GROUP or d < 4 * k * _GROUP:
        return x.topk(k, dim=-1, sorted=False)
    groups = x.view(n, -1, _GROUP)
    best = groups.amax(dim=-1).topk(k, dim=-1, sorted=False).indices
    value, place = groups.gather(1, best[:, :, None].expand(-1, -1, _GROUP)).view(n, -1).topk(k, dim=-1, sorted=False)
    return value, best.gather(1, place // _GROUP) * _GROUP + place % _GROUP


def _first_maximum(
    key: Int[torch.Tensor, " n"], value: Float[torch.Tensor, " n"], row: Int[torch.Tensor, " n"]
) -> Columns:
    """For each distinct key, ascending: its largest value and the smallest row where that was reached."""
    key, order = key.sort()
    value, row = value[order], row[order]
    keys, group = key.unique_consecutive(return_inverse=True)
    best = torch.full((len(keys),), -torch.inf, device=key.device).scatter_reduce_(0, group, value, "amax")
    row = row.masked_fill(value < best[group], torch.iinfo(torch.int64).max)
    first = torch.full_like(keys, torch.iinfo(torch.int64).max).scatter_reduce_(0, group, row, "amin")
    return keys, best, first
