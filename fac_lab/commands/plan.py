"""`fac-lab plan`: what a study would take, before anything runs."""

import argparse

from fac_lab.commands.options import add_profile, positive
from fac_lab.errors import SettingsError


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    plan = commands.add_parser("plan", help="downloads, hours, memory, calls and cost of a study, before anything runs")
    plan.add_argument("study", nargs="?", default="demo", help="demo, audit, recovery, arms, toxicity (%(default)s)")
    add_profile(plan)
    plan.add_argument("--device", metavar="NAME", help="h200, h100, a100, rtx4090, cpu (one that fits the model)")
    plan.add_argument("--anchor-rows", type=positive, metavar="N", help="rows of the anchor")
    plan.add_argument("--seed-rows", type=positive, metavar="N", help="rows of the seed, or of your file")
    plan.add_argument("--features", type=positive, metavar="N", help="features in the anchor's support")
    plan.add_argument("--missing", type=positive, metavar="N", help="missing features")
    for role in ("generator", "annotator"):
        plan.add_argument(
            f"--{role}-price",
            type=_price,
            nargs=2,
            metavar=("PROMPT", "COMPLETION"),
            help=f"price of a million tokens of the {role} (the profile's, else not known)",
        )
    plan.set_defaults(run=run)


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no price")
    return price


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    from dataclasses import replace

    from fac_lab.display.plan import plan_text
    from fac_lab.planning.plan import Sizes, make_plan
    from fac_lab.profile import load_profile

    profile = load_profile(args.profile)
    for role in ("generator", "annotator"):
        prices, settings = getattr(args, f"{role}_price"), getattr(profile, role)
        if prices is None:
            continue
        if settings is None:
            raise SettingsError(f"--{role}-price: profile {profile.name} names no {role}")
        priced = replace(settings, price_prompt=prices[0], price_completion=prices[1])
        profile = replace(profile, **{role: priced})
    sizes = Sizes(args.anchor_rows, args.seed_rows, args.features, args.missing)
    print(plan_text(make_plan(profile, args.study, device=args.device, sizes=sizes)))
    return 0
