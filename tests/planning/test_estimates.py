"""Formulas against numbers worked by hand."""

import pytest

from fac_lab.planning.estimates import (
    Device,
    adapter_parameters,
    reading_memory,
    reading_operations,
    serving_memory,
    training_memory,
    training_operations,
    writing_operations,
)
from fac_lab.planning.facts import ModelFacts, model_facts
from fac_lab.settings import TuningSettings

# Two layers of 500 parameters; embedding and output matrix of 10 words have 100 each.
TINY = ModelFacts("tiny", 1200, 10, 2, 20, 5, 10, False, 0, False, "a test")
LORA = TuningSettings(mode="lora", epochs=3, lr=1e-4, batch=4, r=2)
HEAD = TuningSettings(mode="head", epochs=15, lr=1e-4, batch=4)
FULL = TuningSettings(mode="full", epochs=3, lr=1e-4, batch=4)


def test_a_device_at_a_share_of_its_rate():
    assert Device("d", 2.0, 8, True, "").hours(3.6e15, 0.5) == pytest.approx(1.0)


def test_reading_stops_after_its_layer():
    assert TINY.per_layer == 500 and TINY.headless == 1100
    # Per token: 2 x 500 for the one layer, 4 x 7 x 10 for its attention, 2 x 10 x 30 for the encoder.
    assert reading_operations(TINY, 30, layer=0, tokens=3, text_tokens=7) == 3 * (1000 + 280 + 600)
    assert reading_operations(TINY, 30, layer=1, tokens=3, text_tokens=7) == 3 * (2000 + 560 + 600)


def test_reading_a_large_model_is_dominated_by_its_layers():
    llama = model_facts("meta-llama/Llama-3.1-8B-Instruct")
    per_token = reading_operations(llama, 65536, layer=15, tokens=1, text_tokens=178)
    assert per_token == pytest.approx(2 * 16 * llama.per_layer + 2 * 4096 * 65536, rel=0.01)


def test_training_with_adapters_and_a_head_alone():
    kinds = {
        mode.mode: training_operations(TINY, mode, runs=6, seeds=3, rows=10, test_rows=5, row_tokens=7)
        for mode in (LORA, HEAD, FULL)
    }
    assert kinds["lora"] == 4 * 1100 * (6 * 3 * 10 * 7) + 2 * 1100 * (6 * 5 * 7)
    assert kinds["head"] == 2 * 1100 * 7 * (2 * 10 + 5)
    assert kinds["full"] == 6 * 1100 * (6 * 3 * 10 * 7) + 2 * 1100 * (6 * 5 * 7)
    assert writing_operations(TINY, 9) == 2 * 1200 * 9


def test_memory():
    gb = 1e9
    size = reading_memory(TINY, 30, dtype="bfloat16", batch_tokens=8, copies=2, reserve_gb=1)
    assert size == 1200 * 2 + 2 * 10 * 30 * 4 + 2 * 8 * 30 * 4 + gb
    common = dict(row_tokens=6, activation_bytes=34, adapter_bytes=16, reserve_gb=0)
    adapters = adapter_parameters(TINY, 2)
    # q and o are 10 x 10, k and v 10 x 5, gate, up and down 10 x 20: each has r (in + out) in each of two layers.
    assert adapters == 2 * 2 * (2 * 20 + 2 * 15 + 3 * 30)
    on_gpu = training_memory(TINY, LORA, on_gpu=True, **common)
    assert on_gpu == 1100 * 2 + 4 * 6 * 10 * 2 * 34 + adapters * 16
    assert training_memory(TINY, LORA, on_gpu=False, **common) - on_gpu == 1100 * 2
    assert training_memory(TINY, HEAD, on_gpu=True, **common) == 1100 * 2
    assert training_memory(TINY, FULL, on_gpu=True, **common) == 1100 * 2 + 4 * 6 * 10 * 2 * 34 + 1100 * 16
    assert serving_memory(TINY, sequences=3, tokens=4, reserve_gb=0) == 1200 * 2 + 3 * 4 * 2 * 2 * 5 * 2


def test_adapters_are_those_that_peft_makes():
    import peft
    from transformers import LlamaConfig, LlamaModel

    from fac_lab.tasks.adapted import PROJECTIONS
    from fac_lab.tasks.backbone import quiet_transformers

    config = LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=11,
    )  # fmt: skip
    with quiet_transformers():
        model = peft.get_peft_model(LlamaModel(config), peft.LoraConfig(r=3, target_modules=list(PROJECTIONS)))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    facts = ModelFacts("m", 1, width=16, layers=2, mlp=24, kv_width=8, vocab=11, tied=False, download_bytes=0,
                       gated=False, source="")  # fmt: skip
    assert adapter_parameters(facts, 3) == trained
