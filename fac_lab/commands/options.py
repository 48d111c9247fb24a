"""Options and kinds of values that several commands share."""

import argparse


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Let a command name a profile."""
    parser.add_argument("--profile", help="a shipped profile, or a .yaml file ($FAC_LAB_PROFILE, else mini)")


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)
