"""Collection at the shape of Llama-3.1-8B on one GPU, with torch and transformers alone.

    python -m benchmarks.gpu --out gpu.json

Random weights in bfloat16: sixteen layers (what is read lies behind the sixteenth), 65,536 features. Measured are the
device's matrix rate, the forward pass, the encoder with its maxima (the fused kernel and the way through chunks), the
whole of `collect` with Top-K on and off, the most memory, and whether the GPU's maxima are those of a CPU in float32.
A rate is counted in the products that the mathematics asks for, two operations per multiplication, padding and
attention scores left out.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaModel

from fac_lab import world
from fac_lab.collect_protocol import CollectProtocol
from fac_lab.corpora import Corpus, Row
from fac_lab.features import fused
from fac_lab.features.batches import batches
from fac_lab.features.collect import collect
from fac_lab.features.encoder import Encoder
from fac_lab.features.plain_sae import PlainSae
from fac_lab.features.subject import Subject, pooled_mask
from fac_lab.profile import resolve
from fac_lab.settings import CollectSettings

LLAMA = {
    "vocab_size": 128_256, "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8,
}  # fmt: skip
SMALL = {
    "vocab_size": 4096, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip


def fastest(run: Callable[[], object], device: torch.device, times: int = 5) -> float:
    """Seconds of the fastest of some runs, after one that is not counted."""
    seconds = []
    for _ in range(times + 1):
        wait(device)
        began = perf_counter()
        run()
        wait(device)
        seconds.append(perf_counter() - began)
    return min(seconds[1:])


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def matrix_rate(device: torch.device, dtype: torch.dtype, n: int) -> float:
    """Operations per second of one large square product."""
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    return 2 * n**3 / fastest(lambda: a @ b, device)


def random_sae(d_in: int, d_sae: int, k: int, hook: str, device: torch.device, dtype: torch.dtype) -> PlainSae:
    """A tied Top-K SAE with unit directions that nobody has trained."""
    directions = torch.nn.functional.normalize(torch.randn(d_sae, d_in, device=device), dim=1).to(dtype)
    zeros = [torch.zeros(n, device=device, dtype=dtype) for n in (d_sae, d_in)]
    cfg = {"architecture": "topk", "d_in": d_in, "d_sae": d_sae, "k": k, "dtype": str(dtype).removeprefix("torch.")}
    cfg["metadata"] = {"hook_name": hook}
    return PlainSae(
        cfg, {"W_enc": directions.T.contiguous(), "b_enc": zeros[0], "W_dec": directions, "b_dec": zeros[1]}
    )


def measure(shape: dict[str, int], d_sae: int, n_texts: int, batch_tokens: int, matrix: int) -> dict[str, object]:
    """Every figure, by name."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(0)
    figures: dict[str, object] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "shape": shape,
        "features": d_sae,
        "matrix_tflops": matrix_rate(device, dtype, matrix) / 1e12,
    }
    with device:
        model = LlamaModel(LlamaConfig(**shape, torch_dtype=dtype)).to(dtype)
    tokenizer = AutoTokenizer.from_pretrained(resolve("data/mini/llama"))
    subject = Subject(model, tokenizer, name="random Llama", layer=shape["num_hidden_layers"] - 1)
    sae = random_sae(shape["hidden_size"], d_sae, 20, subject.hook_name, device, dtype)
    queries = iter(world.queries(8 * n_texts, seed=0))
    texts = [" ".join(next(queries)[1] for _ in range(8)) for _ in range(n_texts)]
    tokens = subject.tokenize(texts)
    total = sum(len(text.ids) for text in tokens)
    figures |= {"texts": n_texts, "tokens": total}

    per_token = 2 * sum(p.numel() for name, p in model.named_parameters() if "embed" not in name and p.dim() == 2)
    encoder_per_token = 2 * shape["hidden_size"] * d_sae
    prepared = []
    for batch in batches([len(text.ids) for text in tokens], batch_tokens):
        some = [tokens[index] for index in batch]
        ids, mask = subject.batch(some)
        prepared.append((ids, mask, pooled_mask(some, ids.shape[1], device)))
    rate = figures["matrix_tflops"] * 1e12
    seconds = fastest(lambda: [subject.activations(ids, mask) for ids, mask, _ in prepared], device, 2)
    figures |= {"forward_tokens_per_second": total / seconds, "forward_share": per_token * total / seconds / rate}

    ids, mask, pooled = prepared[0]
    x, rows = subject.activations(ids, mask)[pooled], pooled.nonzero(as_tuple=True)
    work = encoder_per_token * len(x) / rate
    with torch.inference_mode():
        figures["product_share"] = work / fastest(lambda: torch.addmm(sae.b_enc, x, sae.W_enc), device)
        if fused.is_available(device):
            place = rows[0].unique_consecutive(return_inverse=True)[1]
            n = int(place[-1]) + 1
            z = sae.process_sae_in(x)
            figures["fused_share"] = work / fastest(
                lambda: fused.segment_maxima(z, sae.W_enc, sae.b_enc, place, n), device
            )
        for name, top_k in (("top_k", True), ("relu", False)):
            encoder = Encoder(sae, top_k=top_k)
            figures[f"pool_{name}_share"] = work / fastest(lambda e=encoder: e.pool(x, *rows), device, 3)
            encoder._fuses = False
            figures[f"pool_{name}_in_chunks_share"] = work / fastest(lambda e=encoder: e.pool(x, *rows), device, 3)

    corpus = Corpus.from_rows("texts", [Row(str(i), text) for i, text in enumerate(texts)])
    for name, top_k in (("top_k", True), ("relu", False)):
        settings = CollectSettings(batch_tokens=batch_tokens, protocol=CollectProtocol(top_k=top_k))
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds = fastest(lambda s=settings: collect(subject, sae, corpus, s, progress=False), device, 2)
        figures[f"collect_{name}_tokens_per_second"] = total / seconds
        figures[f"collect_{name}_share"] = (per_token + encoder_per_token) * total / seconds / rate
        if device.type == "cuda":
            figures[f"collect_{name}_peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return figures | equality(sae, x, rows)


def equality(sae: PlainSae, x: torch.Tensor, rows: tuple[torch.Tensor, torch.Tensor], n: int = 256) -> dict[str, float]:
    """How far the maxima of some tokens are from those of the same weights in float32 on the CPU."""
    cpu = PlainSae({**sae.cfg.to_dict(), "dtype": "float32"}, {key: v.cpu() for key, v in sae.state_dict().items()})
    some, where = x[:n], [index[:n] for index in rows]
    dense = []
    for one, values, at in ((sae, some, where), (cpu, some.float().cpu(), [index.cpu() for index in where])):
        pooled = Encoder(one, top_k=False).pool(values, *at)
        full = np.zeros((int(where[0].max()) + 1, sae.cfg.d_sae), np.float32)
        full[pooled.sample, pooled.feature] = pooled.value
        dense.append(full)
    apart = np.abs(dense[0] - dense[1])
    return {"largest_difference": float(apart.max()), "largest_value": float(dense[1].max())}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tiny shape, to see whether the script runs")
    parser.add_argument("--texts", type=int, default=4000)
    parser.add_argument("--batch-tokens", type=int, default=16_384)
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    sizes = (
        (SMALL, 1024, 40, 2048, 256) if options.small else (LLAMA, 65_536, options.texts, options.batch_tokens, 8192)
    )
    figures = measure(*sizes)
    text = json.dumps(figures, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
