"""The kernel against its definition, in Triton's interpreter where there is no GPU."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from fac_lab.errors import ModelError
from fac_lab.features import fused

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed (torch for CPU)")

# The interpreter is chosen when triton is imported, hence a process of its own.
COMPARE = """
import sys, torch
from fac_lab.features.fused import segment_maxima
device, dtype = sys.argv[1], getattr(torch, sys.argv[2])
generator = torch.Generator().manual_seed(int(sys.argv[3]))
for lengths, d_in, d_sae in (([3, 1, 70, 40], 24, 90), ([1], 8, 5), ([130, 2, 2, 2, 61], 65, 130)):
    n = sum(lengths)
    x = torch.randn(n, d_in, generator=generator).to(device, dtype)
    x[1:3] = x[0]  # equal values in rows of one segment, and of neighbours
    weight = torch.randn(d_in, d_sae, generator=generator).to(device, dtype)
    bias = (torch.randn(d_sae, generator=generator) - 8).to(device, dtype)  # some features stay silent
    segments = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)
    found = segment_maxima(x, weight, bias, segments, len(lengths))
    dense = torch.relu(x.float() @ weight.float() + bias.float())
    start = 0
    for number, length in enumerate(lengths):
        part = dense[start : start + length]
        torch.testing.assert_close(found.value[number], part.amax(0), rtol=1e-5, atol=1e-4)
        active = found.value[number] > 0
        at = found.row[number][active] - start
        assert ((0 <= at) & (at < length)).all()
        torch.testing.assert_close(part[at, active.nonzero()[:, 0]], found.value[number][active], rtol=1e-5, atol=1e-4)
        same = (part == part[0]).all(dim=1)
        if length > 1 and same[1]:
            assert not (at == 1).any(), "of equal rows the first counts"
        start += length
    assert (found.value == 0).any() or d_sae < 10
print("equal")
"""


# Plain ReLU, and a Top-K SAE read as such whose decoder norms count; the way of a CPU beside.
ENCODE = """
import sys, warnings, torch
warnings.simplefilter("ignore")
from sae_lens import StandardSAE, StandardSAEConfig, TopKSAE, TopKSAEConfig
from fac_lab.features import fused
from fac_lab.features.encoder import Encoder
torch.manual_seed(0)
x = torch.randn(60, 20).to(sys.argv[1])
segments = torch.repeat_interleave(torch.tensor([2, 3, 7]), torch.tensor([10, 1, 49]))
positions = torch.arange(60) * 3
for sae in (
    StandardSAE(StandardSAEConfig(d_in=20, d_sae=50)),
    TopKSAE(TopKSAEConfig(d_in=20, d_sae=50, k=4, rescale_acts_by_decoder_norm=True)),
):
    for parameter in sae.parameters():
        parameter.data.normal_()
    sae = sae.to(x.device)
    fused.is_available = lambda device: False
    slow = Encoder(sae, top_k=False).pool(x, segments, positions)
    fused.is_available = lambda device: True
    fast = Encoder(sae, top_k=False).pool(x, segments, positions)
    for name, one, other in zip(slow._fields, slow, fast):
        assert one.dtype == other.dtype and one.shape == other.shape, name
        torch.testing.assert_close(torch.from_numpy(one), torch.from_numpy(other), rtol=1e-5, atol=1e-5)
    assert len(slow.value) > 100
print("equal")
"""


def in_its_own_process(script: str, *arguments: str) -> None:
    gpu = torch.cuda.is_available()
    done = subprocess.run(
        [sys.executable, "-c", script, "cuda" if gpu else "cpu", *arguments],
        env={**os.environ, **({} if gpu else {"TRITON_INTERPRET": "1"})},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.stdout.strip() == "equal", done.stderr[-2000:]


@needs_triton
def test_pooling_is_that_of_a_cpu():
    in_its_own_process(ENCODE)


@needs_triton
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_kernel_is_its_definition(dtype):
    if dtype == "bfloat16" and not torch.cuda.is_available():
        pytest.skip("Triton's interpreter multiplies bfloat16 as if it were integers")
    in_its_own_process(COMPARE, dtype, "0")


def test_on_a_cpu_it_is_not_used():
    assert not fused.is_available(torch.device("cpu"))


@pytest.mark.skipif(find_spec("triton") is not None, reason="triton is installed")
def test_without_triton_it_says_what_is_needed():
    with pytest.raises(ModelError, match="needs triton"):
        fused.segment_maxima(torch.ones(1, 2), torch.ones(2, 3), torch.ones(3), torch.zeros(1), 1)
