"""The dictionary as a set of directions: which features point alike, and a map of all of them in two dimensions.

A feature's direction is its row of the decoder, at any length; a row of zeros (a feature that was never trained)
has none, so it is nobody's neighbour and has no place on the map. The decoder is read in blocks of rows, because
in float32 a second copy of one of 65,536 x 4,096 would be another gigabyte.
"""

import logging
from collections.abc import Iterator
from time import monotonic
from typing import Any

import numpy as np
import torch

from fac_lab.errors import DataError
from fac_lab.features.archive import read_npz, reading, write_npz
from fac_lab.features.encoder import Encoder
from fac_lab.features.layout import NEIGHBOURS, lay_out
from fac_lab.store import Artifact, Store

log = logging.getLogger(__name__)

MAP_VERSION = 1
COMPONENTS = 50
"""Principal components that the map is made from: neighbours are found among them."""
MAP_METHOD = (
    f"UMAP's objective on the {COMPONENTS} principal components of unit decoder directions (cosine, "
    f"{NEIGHBOURS} neighbours)"
)
"""What the places on the map are, for captions. Near means alike; far, and where a cluster lies, mean little."""
_BLOCK_BYTES = 2**26
_SPARE, _PASSES = 14, 5
_TINY = 1e-8


def nearest(sae: Any, feature: int, k: int = 8) -> list[tuple[int, float]]:
    """The `k` features whose decoder directions have the largest cosine with this one's, largest first.

    Ties go to the smaller index. The feature itself and features without a direction are left out, so there may be
    fewer than `k`; a feature without one has no neighbours. Raises DataError for a feature that does not exist.
    """
    decoder = sae.W_dec.detach()
    if not 0 <= feature < len(decoder):
        raise DataError(f"features lie in 0 to {len(decoder) - 1}, but the neighbours of {feature} were asked for")
    direction = decoder[feature].float()
    if not direction.norm() > _TINY:
        return []
    direction = direction / direction.norm()
    cosine = torch.empty(len(decoder))
    for rows, block in _blocks(decoder):
        norms = block.norm(dim=1)
        cosine[rows] = torch.where(norms > _TINY, block @ direction / norms.clamp_min(_TINY), -torch.inf).cpu()
    cosine[feature] = -torch.inf
    value = cosine.numpy()
    # Sorting as many as may tie with the last, not all 65,536.
    floor = np.partition(value, -min(k, len(value)))[-min(k, len(value))] if k > 0 else np.inf
    candidates = np.flatnonzero((value >= floor) & np.isfinite(value))
    order = candidates[np.lexsort((candidates, -value[candidates]))][: max(k, 0)]
    return [(int(index), min(1.0, float(value[index]))) for index in order]


def dictionary_map(sae: Any, store: Store, *, seed: int = 0, progress: bool = True) -> np.ndarray:
    """A place for every feature, float32 `[d_sae, 2]`, near where decoder directions are alike; computed once.

    Kept in the store by the SAE's digest and the seed. NaN for features without a direction. See `MAP_METHOD` for how
    it is made. The same seed gives the same map on one machine; on another, rounding may turn and bend it.
    """

    def build(artifact: Artifact) -> dict:
        began = monotonic()
        places = make_map(sae, seed=seed, progress=progress)
        write_npz(artifact.file("map.npz"), places=places)
        log.info("%s: %d features in %.0f s", artifact, len(places), monotonic() - began)
        return {"method": MAP_METHOD, "features": len(places), "without direction": int(np.isnan(places[:, 0]).sum())}

    artifact = store.once("map", build, version=MAP_VERSION, sae=Encoder(sae).digest, seed=seed)
    with reading(artifact.file("map.npz")) as path:
        return read_npz(path)["places"]


def make_map(sae: Any, *, seed: int = 0, progress: bool = False) -> np.ndarray:
    """What `dictionary_map` keeps, made anew."""
    decoder = sae.W_dec.detach()
    places = np.full((len(decoder), 2), np.nan, np.float32)
    scores, alive = principal_components(decoder, min(COMPONENTS, decoder.shape[1]), seed=seed)
    if len(scores):
        places[alive] = lay_out(scores, seed=seed, progress=progress)
    return places


def principal_components(decoder: torch.Tensor, n: int, *, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """The first `n` principal components of the unit directions in `decoder [d_sae, d_in]`, and whose they are.

    Returns float32 `[n_alive, n]` on the CPU, strongest component first, and bool `[d_sae]`. By subspace iteration
    (Halko, Martinsson and Tropp 2011), which needs products with the decoder only: exact where `n + 14 >= d_in`.
    """
    width = min(n + _SPARE, decoder.shape[1])
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(decoder.shape[1], width, generator=generator)).Q.to(decoder.device)
    inverse = _inverse_norms(decoder)
    alive = inverse[:, 0] > 0
    n_alive = int(alive.sum())
    none = torch.zeros(decoder.shape[1], 1, device=decoder.device)
    mean = sum((block.T @ inverse[rows] for rows, block in _blocks(decoder)), none)[:, 0] / max(n_alive, 1)
    for step in range(_PASSES):
        # The covariance times the basis, without a normalised or centred copy of any block.
        product = -n_alive * torch.outer(mean, mean @ basis)
        for rows, block in _blocks(decoder):
            product += block.T @ (block @ basis * inverse[rows].square())
        if step < _PASSES - 1:
            basis = torch.linalg.qr(product).Q
    inner = basis.T @ product
    weakest_first = torch.linalg.eigh((inner + inner.T) / 2).eigenvectors
    axes = basis @ weakest_first.flip(1)[:, :n]
    scores = [block @ axes * inverse[rows] - mean @ axes for rows, block in _blocks(decoder)]
    return torch.cat(scores)[alive].cpu(), alive.cpu().numpy()


def _blocks(decoder: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Rows of the decoder in float32, some at a time."""
    step = max(1, _BLOCK_BYTES // (4 * decoder.shape[1]))
    for start in range(0, len(decoder), step):
        yield slice(start, start + step), decoder[start : start + step].float()


def _inverse_norms(decoder: torch.Tensor) -> torch.Tensor:
    """One over each row's length, float32 `[d_sae, 1]`; 0 for a row without a direction."""
    norms = torch.cat([block.norm(dim=1, keepdim=True) for _, block in _blocks(decoder)])
    return torch.where(norms > _TINY, 1 / norms, 0)
