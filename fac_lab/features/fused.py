"""Encoder product, ReLU and each sample's maxima in one GPU kernel, so that tokens times features are never in memory.

A program computes a tile of tokens by features as any matrix product does, and keeps it in registers: of each
sample in the tile, each feature's largest value and its token go to the result by an atomic maximum. Samples are
neighbours in `x`, so a tile meets few of them. Written in Triton, which comes with torch for CUDA.
"""

from importlib.util import find_spec
from typing import NamedTuple

import torch

from fac_lab.errors import ModelError

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None


class Maxima(NamedTuple):
    """Largest positive value of each feature in each segment."""

    value: torch.Tensor
    """float32 `[n_segments, d_sae]`; 0 where no value is positive."""
    row: torch.Tensor
    """Row of `x` that has it, int64 `[n_segments, d_sae]`, the first of several; meaningless where `value` is 0."""


def is_available(device: torch.device) -> bool:
    """Whether the kernel runs on this device."""
    return device.type == "cuda" and find_spec("triton") is not None


if triton is not None:

    @triton.jit
    def _kernel(
        x, weight, bias, segment, best,
        n_rows, d_in, d_sae,
        ROWS: tl.constexpr, FEATURES: tl.constexpr, INNER: tl.constexpr, GROUP: tl.constexpr,
    ):  # fmt: skip
        # Programs that run together share tiles of both factors: GROUP tiles of rows take a tile of features in turn.
        n_row_tiles = tl.cdiv(n_rows, ROWS)
        n_feature_tiles = tl.cdiv(d_sae, FEATURES)
        group, within = tl.program_id(0) // (GROUP * n_feature_tiles), tl.program_id(0) % (GROUP * n_feature_tiles)
        height = min(n_row_tiles - group * GROUP, GROUP)
        row = (group * GROUP + within % height) * ROWS + tl.arange(0, ROWS)
        feature = (within // height) * FEATURES + tl.arange(0, FEATURES)
        inner = tl.arange(0, INNER)
        total = tl.zeros((ROWS, FEATURES), dtype=tl.float32)
        for start in range(0, d_in, INNER):
            at = start + inner
            left = tl.load(
                x + row[:, None].to(tl.int64) * d_in + at[None, :],
                mask=(row[:, None] < n_rows) & (at[None, :] < d_in),
                other=0.0,
            )
            right = tl.load(
                weight + at[:, None].to(tl.int64) * d_sae + feature[None, :],
                mask=(at[:, None] < d_in) & (feature[None, :] < d_sae),
                other=0.0,
            )
            total = tl.dot(left, right, total, input_precision="ieee")
        total += tl.load(bias + feature, mask=feature < d_sae, other=0.0)[None, :].to(tl.float32)
        value = tl.maximum(total, 0.0)
        own = tl.load(segment + row, mask=row < n_rows, other=-1)
        first = tl.min(tl.where(row < n_rows, own, 0x7FFFFFFF))
        last = tl.max(own)
        for number in range(first, last + 1):
            inside = (own == number)[:, None]
            largest = tl.max(tl.where(inside, value, 0.0), axis=0)
            at = tl.min(tl.where(inside & (value == largest[None, :]), row[:, None], 0x7FFFFFFF), axis=0)
            # Positive floats are ordered as their bits are: one integer holds value and row, the first row on top.
            key = (largest.to(tl.int32, bitcast=True).to(tl.int64) << 32) | (0x7FFFFFFF - at).to(tl.int64)
            tl.atomic_max(best + number * d_sae + feature, key, mask=(feature < d_sae) & (largest > 0.0), sem="relaxed")


def segment_maxima(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, segments: torch.Tensor, n_segments: int
) -> Maxima:
    """`max` over the rows of each segment of `relu(x @ weight + bias)`.

    `x [n_rows, d_in]` and `weight [d_in, d_sae]` are of one dtype (sums are float32), `segments [n_rows]` ascending
    numbers from 0 to `n_segments - 1`. Raises ModelError without Triton, and for 2^31 maxima or more in one call.
    """
    if triton is None:
        raise ModelError("the fused kernel needs triton, which comes with torch for CUDA: install that torch")
    n_rows, d_in = x.shape
    d_sae = weight.shape[1]
    if n_segments * d_sae >= 2**31:
        raise ModelError(f"{n_segments} samples of {d_sae} features at once are too many for 32-bit numbers: fewer")
    best = torch.zeros((n_segments, d_sae), dtype=torch.int64, device=x.device)
    tile = {"ROWS": 128, "FEATURES": 256, "INNER": 64} if x.element_size() == 2 else TILE
    grid = (triton.cdiv(n_rows, tile["ROWS"]) * triton.cdiv(d_sae, tile["FEATURES"]),)
    if n_rows:
        _kernel[grid](
            x.contiguous(), weight.contiguous(), bias, segments.to(torch.int32), best, n_rows, d_in, d_sae,
            **tile, GROUP=8, num_warps=8, num_stages=3,
        )  # fmt: skip
    value = (best >> 32).to(torch.int32).view(torch.float32)
    return Maxima(value, 0x7FFFFFFF - (best & 0xFFFFFFFF))


TILE = {"ROWS": 64, "FEATURES": 64, "INNER": 32}
"""Tile of products in float32, which have no tensor cores of their own."""
