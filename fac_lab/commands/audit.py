"""`fac-lab audit`: what a data set leaves out, under a profile or a model with its SAE."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fac_lab.commands.options import add_profile
from fac_lab.errors import SettingsError

if TYPE_CHECKING:
    from fac_lab.profile import Profile
    from fac_lab.settings import CoverageRule, SaeSettings


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    audit = commands.add_parser("audit", help="what does your data set leave out? FAC, missing features, a report")
    audit.add_argument("file", type=Path, metavar="FILE", help="your data: .jsonl, .csv, .tsv or .parquet")
    audit.add_argument("--anchor", type=Path, required=True, metavar="FILE", help="what the task could need")
    audit.add_argument("--text-column", default="text", metavar="NAME", help="column of the texts (%(default)s)")
    audit.add_argument("--anchor-text-column", metavar="NAME", help="the same in the anchor (--text-column)")
    audit.add_argument("--id-column", metavar="NAME", help="column of unique ids in FILE (rows are numbered)")
    audit.add_argument("--limit", type=int, metavar="N", help="draw at most N rows of each file")
    audit.add_argument("--out", type=Path, default=Path("runs/audit"), help="folder of the run (%(default)s)")

    model = audit.add_argument_group("model", "a profile, or one model with its SAE")
    add_profile(model)
    model.add_argument("--model", metavar="NAME", help="folder or hub name of the model whose features are read")
    model.add_argument("--layer", type=int, help="0-based layer whose output is read")
    model.add_argument(
        "--sae",
        metavar="NAME",
        help="a sae-lens folder, RELEASE:SAE_ID of the registry, or the authors' .pth (OWNER/NAME/FILE.pth on the hub)",
    )
    model.add_argument("--template", choices=("chat", "none"), default="chat", help="(%(default)s)")

    rule = audit.add_argument_group("coverage rule", "the profile's, unless one is named")
    rule.add_argument("--rule", choices=("absolute", "anchor_quantile", "feature_quantile"))
    rule.add_argument("--delta", type=float, help="threshold of --rule absolute")
    rule.add_argument("--quantile", type=float, help="quantile of the other two rules")
    rule.add_argument("--support", metavar="M", help="anchor samples a feature needs, or auto (from the sizes)")
    audit.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    profile = audit_profile(args)
    from fac_lab.audit import audit

    result = audit(
        args.file,
        anchor=args.anchor,
        profile=profile,
        text_column=args.text_column,
        anchor_text_column=args.anchor_text_column or args.text_column,
        id_column=args.id_column,
        limit=args.limit,
        out=args.out,
    )
    print(result)
    return 0


def audit_profile(args: argparse.Namespace) -> "Profile":
    """The profile an audit runs under: the one named, with --model, --sae and the rule put in its place."""
    from dataclasses import replace

    from fac_lab.profile import load_profile
    from fac_lab.settings import ModelSettings

    profile = load_profile(args.profile)
    named = [option for option in ("model", "layer", "sae") if getattr(args, option) is not None]
    if named and args.profile is not None:
        raise SettingsError(f"--{named[0]} and --profile exclude each other: a profile names its own model and SAE")
    if 0 < len(named) < 3:
        lacking = sorted({"model", "layer", "sae"} - set(named))
        raise SettingsError(f"--{named[0]} needs {' and '.join('--' + name for name in lacking)} beside it")
    if named:
        subject = ModelSettings(path=_here(args.model), layer=args.layer, template=args.template)
        # The default profile's chat models and data sets belong to another model's world.
        profile = replace(
            profile,
            name="audit",
            subject=subject,
            sae=_sae_settings(args.sae),
            sae_training=None,
            corpora={},
            generator=None,
            annotator=None,
        )
    return replace(profile, rule=_rule(args, profile.rule))


def _rule(args: argparse.Namespace, rule: "CoverageRule") -> "CoverageRule":
    from dataclasses import replace

    changes = {}
    if args.rule is not None:
        changes["kind"] = args.rule
    for name in ("delta", "quantile"):
        if getattr(args, name) is not None:
            changes[name] = getattr(args, name)
    kind = changes.get("kind", rule.kind)
    for name, fits in (("delta", kind == "absolute"), ("quantile", kind != "absolute")):
        if name in changes and not fits:
            raise SettingsError(f"--{name} means nothing under rule {kind}: name a --rule that uses it")
    if args.support == "auto":
        changes["support"] = None
    elif args.support is not None:
        if not args.support.isdecimal():
            raise SettingsError(f"--support is {args.support!r}; give a number of samples, or auto")
        changes["support"] = int(args.support)
    return replace(rule, **changes)


def _sae_settings(name: str) -> "SaeSettings":
    from fac_lab.settings import SaeSettings

    if name.endswith((".pth", ".pt")):
        owner, _, rest = name.partition("/")
        repository, _, file = rest.partition("/")
        # OWNER/NAME/FILE.pth is a file on the hub, unless it is one here, or lies in a folder that is here.
        if file and owner[:1].isalnum() and not Path(owner).exists():
            return SaeSettings(source="authors", path=f"{owner}/{repository}", file=file)
        return SaeSettings(source="authors", path=_here(name))
    release, colon, sae_id = name.partition(":")
    if colon and not Path(name).exists():
        return SaeSettings(source="release", path=release, sae_id=sae_id)
    return SaeSettings(source="folder", path=_here(name))


def _here(path: str) -> str:
    """On the command line, paths are relative to where it is typed, not to the project."""
    return str(Path(path).resolve()) if Path(path).exists() else path
