"""The command line: `fac-lab check | plan | demo | audit | browse | export | collect | sae | data | mini | profile`.

Each command imports what it needs when it runs, so that `fac-lab --help` answers at once.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fac_lab import __version__
from fac_lab.errors import FacLabError, SettingsError

if TYPE_CHECKING:
    from fac_lab.profile import CoverageRule, Profile, SaeSettings

EXIT_ERROR, EXIT_INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0, 1 a failed check, 2 an error, 130 interrupted)."""
    args = _parser().parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("fac_lab").setLevel(logging.WARNING if args.quiet else logging.INFO)
    try:
        return args.run(args)
    except FacLabError as error:
        print(f"fac-lab: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print(
            "\nfac-lab: interrupted; what was finished is kept, the same command goes on from there",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fac-lab",
        description="Feature Activation Coverage: what a data set leaves out, and how to fill it.",
        epilog="Environment: FAC_LAB_PROFILE names the default profile, FAC_LAB_HOME the folder above data/.",
    )
    parser.add_argument("--version", action="version", version=f"fac-lab {__version__}")
    parser.add_argument("-q", "--quiet", action="store_true", help="warnings and results only")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    check = commands.add_parser("check", help="is everything there that a profile needs?")
    _add_profile(check)
    check.set_defaults(run=_check)

    _add_plan(commands)

    demo = commands.add_parser("demo", help="the whole method once: coverage, synthesis, fine-tuning, a report")
    _add_profile(demo)
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the run (%(default)s)")
    demo.add_argument("--fresh", action="store_true", help="start over instead of going on from finished steps")
    demo.set_defaults(run=_demo)

    _add_audit(commands)

    browse = commands.add_parser("browse", help="look through missing features, as a page in your web browser")
    browse.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="of an audit (the mini world)")
    browse.add_argument(
        "--profile", help="a shipped profile, or a .yaml file (the audit's; $FAC_LAB_PROFILE, else mini)"
    )
    browse.add_argument("--port", type=_positive, metavar="N", help="on this machine only (a free one)")
    browse.add_argument("--no-open", action="store_true", help="print the address, open no browser")
    browse.set_defaults(run=_browse)

    _add_export(commands)
    _add_collect(commands)

    sae = commands.add_parser("sae", help="train the SAE a profile names on texts of yours")
    sae.add_argument("file", type=Path, metavar="FILE", help="texts: .jsonl, .csv, .tsv or .parquet")
    sae.add_argument("--text-column", default="text", metavar="NAME", help="column of the texts (%(default)s)")
    _add_profile(sae)
    sae.set_defaults(run=_sae)

    data = commands.add_parser("data", help="the data sets that profiles may name; read one and check it")
    data.add_argument("name", nargs="?", help="a recipe, mix or protocol (without one, all are listed)")
    data.add_argument("--diff", metavar="NAME", help="in what NAME differs from it")
    data.add_argument("--data-dir", type=Path, metavar="FOLDER", help="copies to read ($FAC_LAB_DATA, else the hub)")
    data.set_defaults(run=_data)

    mini = commands.add_parser("mini", help="rebuild the embedded world in data/mini (minutes)")
    mini.add_argument("--out", type=Path, metavar="FOLDER", help="build there instead of in data/mini")
    mini.set_defaults(run=_mini)

    profile = commands.add_parser("profile", help="show a profile with every setting resolved")
    profile.add_argument("name", nargs="?", help="a shipped profile, or a .yaml file ($FAC_LAB_PROFILE, else mini)")
    profile.add_argument("--list", action="store_true", help="the shipped profiles only")
    profile.set_defaults(run=_profile)
    return parser


def _add_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", help="a shipped profile, or a .yaml file ($FAC_LAB_PROFILE, else mini)")


def _add_plan(commands: argparse._SubParsersAction) -> None:
    plan = commands.add_parser("plan", help="downloads, hours, memory, calls and cost of a study, before anything runs")
    plan.add_argument("study", nargs="?", default="demo", help="demo, audit, recovery, arms, toxicity (%(default)s)")
    _add_profile(plan)
    plan.add_argument("--device", metavar="NAME", help="h200, h100, a100, rtx4090, cpu (one that fits the model)")
    plan.add_argument("--anchor-rows", type=_positive, metavar="N", help="rows of the anchor")
    plan.add_argument("--seed-rows", type=_positive, metavar="N", help="rows of the seed, or of your file")
    plan.add_argument("--features", type=_positive, metavar="N", help="features in the anchor's support")
    plan.add_argument("--missing", type=_positive, metavar="N", help="missing features")
    for role in ("generator", "annotator"):
        plan.add_argument(
            f"--{role}-price",
            type=_price,
            nargs=2,
            metavar=("PROMPT", "COMPLETION"),
            help=f"price of a million tokens of the {role} (the profile's, else not known)",
        )
    plan.set_defaults(run=_plan)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no price")
    return price


def _add_audit(commands: argparse._SubParsersAction) -> None:
    audit = commands.add_parser("audit", help="what does your data set leave out? FAC, missing features, a report")
    audit.add_argument("file", type=Path, metavar="FILE", help="your data: .jsonl, .csv, .tsv or .parquet")
    audit.add_argument("--anchor", type=Path, required=True, metavar="FILE", help="what the task could need")
    audit.add_argument("--text-column", default="text", metavar="NAME", help="column of the texts (%(default)s)")
    audit.add_argument("--anchor-text-column", metavar="NAME", help="the same in the anchor (--text-column)")
    audit.add_argument("--id-column", metavar="NAME", help="column of unique ids in FILE (rows are numbered)")
    audit.add_argument("--limit", type=int, metavar="N", help="draw at most N rows of each file")
    audit.add_argument("--out", type=Path, default=Path("runs/audit"), help="folder of the run (%(default)s)")

    model = audit.add_argument_group("model", "a profile, or one model with its SAE")
    _add_profile(model)
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
    audit.set_defaults(run=_audit)


def _add_collect(commands: argparse._SubParsersAction) -> None:
    collect = commands.add_parser("collect", help="collect activations in shards, over several processes or machines")
    collect.add_argument("source", type=Path, metavar="SOURCE", help="a folder of parquet shards, or one file of texts")
    collect.add_argument("--text-column", default="text", metavar="NAME", help="column of the texts (%(default)s)")
    collect.add_argument("--id-column", metavar="NAME", help="column of ids (rows are numbered)")
    collect.add_argument("--out", type=Path, default=Path("runs/audit"), help="folder of the run (%(default)s)")
    _add_profile(collect)
    collect.add_argument("--workers", type=int, default=0, metavar="N", help="processes; 0: this one, without Ray")
    collect.add_argument("--cpus", type=int, default=1, metavar="N", help="cores of each worker (%(default)s)")
    collect.add_argument("--gpus", type=float, metavar="N", help="GPUs of each worker (1 where there are any)")
    collect.add_argument("--ray", metavar="ADDRESS", help='a Ray cluster, "auto" for this machine\'s (a local one)')
    collect.add_argument("--chunks", type=int, default=10, metavar="N", help="chunks per shard of a file (%(default)s)")
    collect.set_defaults(run=_collect)


def _add_export(commands: argparse._SubParsersAction) -> None:
    export = commands.add_parser("export", help="a run's kept samples as a data set with a card that states coverage")
    export.add_argument(
        "folder", type=Path, metavar="RUN", help="folder of a run that made samples, such as the demo's"
    )
    export.add_argument("--format", choices=("hf", "trl", "llama-factory"), default="hf", help="(%(default)s)")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder that is new or empty")
    export.add_argument("--licence", metavar="TEXT", help="what the card says about it (that none was chosen)")
    export.set_defaults(run=_export)


def _check(args: argparse.Namespace) -> int:
    from fac_lab.check import iter_check
    from fac_lab.profile import load_profile

    failed = 0
    for row in iter_check(load_profile(args.profile)):
        print(row, flush=True)
        failed += row.ok is False
    print(f"{failed} of the checks failed" if failed else "everything is there")
    return 1 if failed else 0


def _plan(args: argparse.Namespace) -> int:
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


def _demo(args: argparse.Namespace) -> int:
    from fac_lab.demo import run_demo
    from fac_lab.profile import load_profile

    print(run_demo(load_profile(args.profile), out=args.out, fresh=args.fresh))
    return 0


def _audit(args: argparse.Namespace) -> int:
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


def _browse(args: argparse.Namespace) -> int:
    from fac_lab.browse import browse

    browse(args.folder, profile=args.profile, port=args.port, open_browser=not args.no_open)
    return 0


def _export(args: argparse.Namespace) -> int:
    from fac_lab.export import export

    out = export(args.folder, args.format, args.out, licence=args.licence)
    print(f"{out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    return 0


def _collect(args: argparse.Namespace) -> int:
    from time import monotonic

    from fac_lab.corpora import Corpus
    from fac_lab.lab import Lab
    from fac_lab.shards import open_shards, write_shards

    lab = Lab.open(args.profile, out=args.out / "store")
    columns = {"text_column": args.text_column, "id_column": args.id_column}
    if args.source.is_dir():
        shards = open_shards(args.source, **columns)
    else:
        corpus = Corpus.from_file(args.source, **columns)
        shards = write_shards(corpus, lab.store, rows=args.chunks * lab.profile.collect.chunk)
    began = monotonic()
    stats = lab.stats_of_shards(shards, workers=args.workers, cpus=args.cpus, gpus=args.gpus, address=args.ray)
    print(
        f"{len(shards.files)} shards, {stats.n_samples} samples, {stats.n_tokens} pooled tokens, "
        f"{(stats.maximum > 0).sum()} of {stats.d_sae} features active; {monotonic() - began:.1f} s"
    )
    return 0


def _sae(args: argparse.Namespace) -> int:
    from fac_lab.corpora import Corpus
    from fac_lab.features.evaluation import evaluate_sae
    from fac_lab.lab import Lab

    lab = Lab.open(args.profile)
    corpus = Corpus.from_file(args.file, text_column=args.text_column)
    sae = lab.train_sae(corpus)
    report = evaluate_sae(lab.subject, sae, [row.text for row in corpus.head(1000, seed=0)])
    print(f"{lab.profile.sae.path}: {report}")
    return 0


def _data(args: argparse.Namespace) -> int:
    from fac_lab.recipes.catalogue import catalogue
    from fac_lab.recipes.protocols import diff_protocols, listing
    from fac_lab.recipes.sources import open_recipe

    if args.name is None:
        print(listing())
    elif args.diff is not None:
        print("\n".join(map(str, diff_protocols(args.name, args.diff))) or "no difference")
    else:
        known = catalogue()
        names = [args.name] if args.name in known and args.name.partition("@")[0] in known.recipes else []
        for name in names or known.parts(args.name):
            opened = open_recipe(name, data_dir=args.data_dir)
            print(f"{name}: {sum(1 for _ in opened.rows()):,} {opened.recipe.kind}")
            for file in opened.origins:
                at = f"{file.place} at {file.revision}" if file.revision else file.place
                print(f"  {file.path}, {at}, sha256 {file.sha256}{' as pinned' if file.checked else ''}")
    return 0


def _mini(args: argparse.Namespace) -> int:
    from fac_lab.mini.build import main as build

    return build([] if args.out is None else ["--out", str(args.out)])


def _profile(args: argparse.Namespace) -> int:
    import yaml

    from fac_lab.profile import as_dict, load_profile, profile_names

    if args.list:
        print("\n".join(profile_names()))
    else:
        print(yaml.safe_dump(as_dict(load_profile(args.name)), sort_keys=False, allow_unicode=True), end="")
    return 0


def audit_profile(args: argparse.Namespace) -> "Profile":
    """The profile an audit runs under: the one named, with --model, --sae and the rule put in its place."""
    from dataclasses import replace

    from fac_lab.profile import ModelSettings, load_profile

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
    from fac_lab.profile import SaeSettings

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
