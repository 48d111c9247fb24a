"""The workbench: what a profile names, opened when first needed, with every finished result kept on disk.

    lab = Lab.open("mini")
    anchor, seed = lab.stats(lab.corpus("anchor")), lab.stats(lab.corpus("seed"))
    gap = cover(anchor, seed, lab.profile.rule)

A result is keyed by all that made it; asked for again, in this process or another, it is read instead of made.
"""

from fac_lab.lab.writing import Writing


class Lab(Writing):
    """Everything a profile names, and every step of the method: see `parts`, `readings`, `labels` and `writing`."""


__all__ = ["Lab"]
