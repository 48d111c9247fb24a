"""The paper's seven baselines: ways to write samples that know nothing of features.

Each is a function `(n, writer, seeds, *, seed, tools, label) -> list[Sample]` with the source it follows in its
docstring: all candidates, at most `n` of them kept, within the draws that two-step synthesis has for as many
features, from the same chat client, through the same checks. What a method asks beside its drafts, such as plans and
rankings, is no draw; the docstrings say how many requests there are.
"""

from collections.abc import Callable

from fac_lab.synthesis.baselines.alpaca import alpaca
from fac_lab.synthesis.baselines.cot_self_instruct import cot_self_instruct
from fac_lab.synthesis.baselines.evol_instruct import evol_instruct
from fac_lab.synthesis.baselines.judging import text_judge
from fac_lab.synthesis.baselines.magpie import magpie
from fac_lab.synthesis.baselines.prismatic import prismatic
from fac_lab.synthesis.baselines.sao import sao
from fac_lab.synthesis.baselines.synalign import synalign
from fac_lab.synthesis.baselines.tools import NO_TOOLS, Judge, Tools, Vectors
from fac_lab.synthesis.samples import Sample

Baseline = Callable[..., list[Sample]]

BASELINES: dict[str, Baseline] = {
    "alpaca": alpaca,
    "evol_instruct": evol_instruct,
    "magpie": magpie,
    "cot_self_instruct": cot_self_instruct,
    "sao": sao,
    "prismatic": prismatic,
    "synalign": synalign,
}
"""In the order of the paper's table 1."""

__all__ = ["BASELINES", "NO_TOOLS", "Baseline", "Judge", "Tools", "Vectors", "text_judge"]
