"""The mini world's text: a few hundred known concepts, many wordings of each, and what people say about them.

Everything here is text and chance; no model is involved. Because the concept behind each query is known, claims
about coverage can be tested instead of correlated.
"""

from fac_lab.world.concepts import Concept, concepts, domains, hold_out, recognise
from fac_lab.world.dice import Dice
from fac_lab.world.queries import draw_query, queries

__all__ = ["Concept", "Dice", "concepts", "domains", "draw_query", "hold_out", "queries", "recognise"]
