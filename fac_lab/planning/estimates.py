"""Operations, hours and memory of reading, training and writing, by formula; nothing is measured here.

A product with a matrix costs two operations per parameter and token, so a forward pass costs 2 N, and a backward
pass as much again for the gradient of what it passes through (Kaplan et al. 2020, section 2.1). With LoRA the frozen
weights get no gradient of their own: 4 N in all. Attention adds 4 x tokens x width per token and layer.
"""

from typing import NamedTuple

from fac_lab.planning.facts import BYTES, FLOAT32, ModelFacts
from fac_lab.settings import TuningSettings

GB = 1e9
FORMULAS = (
    "time = operations / (device's rate x assumed share)",
    "reading = tokens x (2 x parameters of the layers read + 4 x tokens of a text x width x layers read"
    " + 2 x width x features)",
    "training with LoRA = 4 x parameters x tokens x epochs; scoring, a head and writing = 2 x parameters x tokens",
    "memory of reading = weights + SAE + encoder outputs of one batch; of LoRA = weights + activations of a full batch"
    " + adapters; of serving = weights + keys and values of all sequences",
)
"""What the functions below compute, in words."""


class Device(NamedTuple):
    """What runs a model."""

    name: str
    tflops: float
    """Operations per second, in 10^12: two for each multiplication with its addition."""
    memory_gb: float
    gpu: bool
    why: str
    """Where its figures come from."""

    def hours(self, operations: float, share: float) -> float:
        """Time for so many operations at a share of the device's rate."""
        return operations / (self.tflops * 1e12 * share) / 3600


def reading_operations(model: ModelFacts, d_sae: int, *, layer: int, tokens: int, text_tokens: float) -> float:
    """Forward pass up to and with `layer` (from 0), and one encoder product, for `tokens` in texts of a mean length."""
    layers = layer + 1
    per_token = 2 * model.per_layer * layers + 4 * text_tokens * model.width * layers + 2 * model.width * d_sae
    return tokens * per_token


def writing_operations(model: ModelFacts, tokens: int) -> float:
    """Prompt and completion tokens through the whole model."""
    return 2 * model.parameters * tokens


def training_operations(
    model: ModelFacts,
    settings: TuningSettings,
    *,
    runs: int,
    seeds: int,
    rows: int,
    test_rows: int,
    row_tokens: float,
) -> float:
    """All runs of a detector. A head alone reads each text once for all seeds, at most once per arm and set."""
    if settings.mode == "head":
        return 2 * model.headless * row_tokens * (runs / seeds * rows + test_rows)
    trained = runs * settings.epochs * rows * row_tokens
    scored = runs * test_rows * row_tokens
    # Forward, and backward to the activations; gradients of the weights only where all of them are trained.
    per_weight = 6 if settings.mode == "full" else 4
    return per_weight * model.headless * trained + 2 * model.headless * scored


def reading_memory(
    model: ModelFacts, d_sae: int, *, dtype: str, batch_tokens: int, copies: float, reserve_gb: float
) -> float:
    """Bytes: the whole model, a float32 SAE (encoder and decoder), encoder outputs of one batch, and a reserve."""
    weights = model.parameters * BYTES[dtype]
    sae = 2 * model.width * d_sae * FLOAT32
    outputs = copies * batch_tokens * d_sae * FLOAT32
    return weights + sae + outputs + reserve_gb * GB


def training_memory(
    model: ModelFacts,
    settings: TuningSettings,
    *,
    on_gpu: bool,
    row_tokens: float,
    activation_bytes: float,
    adapter_bytes: float,
    reserve_gb: float,
) -> float:
    """Bytes at a batch of rows of `row_tokens`; the backbone is bfloat16 on a GPU, float32 elsewhere."""
    weights = model.headless * BYTES["bfloat16" if on_gpu else "float32"]
    if settings.mode == "head":
        return weights + reserve_gb * GB
    kept = settings.batch * row_tokens * model.width * model.layers * activation_bytes
    if settings.mode == "full":  # a copy in float32 beside the backbone, with gradients and moments
        return weights + kept + model.headless * adapter_bytes + reserve_gb * GB
    return weights + kept + adapter_parameters(model, settings.r) * adapter_bytes + reserve_gb * GB


def adapter_parameters(model: ModelFacts, r: int) -> int:
    """LoRA parameters on q, k, v, o, gate, up and down: r (in + out) for each matrix, in every layer."""
    d, kv, mlp = model.width, model.kv_width, model.mlp
    attention = 2 * (d + d) + 2 * (d + kv)
    return model.layers * r * (attention + 3 * (d + mlp))


def serving_memory(model: ModelFacts, *, sequences: int, tokens: int, reserve_gb: float) -> float:
    """Bytes of a server in bfloat16: weights, and keys and values of all sequences at their full length."""
    cache = sequences * tokens * 2 * model.layers * model.kv_width * BYTES["bfloat16"]
    return model.parameters * BYTES["bfloat16"] + cache + reserve_gb * GB
