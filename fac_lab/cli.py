"""The command line: `fac-lab COMMAND`, see `fac-lab --help`.

Each command imports what it needs when it runs, so that `fac-lab --help` answers at once.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from fac_lab import __version__
from fac_lab.commands import audit, collect, plan
from fac_lab.commands.options import add_profile, positive
from fac_lab.errors import FacLabError

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
    add_profile(check)
    check.set_defaults(run=_check)

    plan.add(commands)

    demo = commands.add_parser("demo", help="the whole method once: coverage, synthesis, fine-tuning, a report")
    add_profile(demo)
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the run (%(default)s)")
    demo.add_argument("--fresh", action="store_true", help="start over instead of going on from finished steps")
    demo.set_defaults(run=_demo)

    audit.add(commands)

    browse = commands.add_parser("browse", help="look through missing features, as a page in your web browser")
    browse.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="of an audit (the mini world)")
    browse.add_argument(
        "--profile", help="a shipped profile, or a .yaml file (the audit's; $FAC_LAB_PROFILE, else mini)"
    )
    browse.add_argument("--port", type=positive, metavar="N", help="on this machine only (a free one)")
    browse.add_argument("--no-open", action="store_true", help="print the address, open no browser")
    browse.set_defaults(run=_browse)

    _add_export(commands)
    collect.add(commands)

    sae = commands.add_parser("sae", help="train the SAE a profile names on texts of yours")
    sae.add_argument("file", type=Path, metavar="FILE", help="texts: .jsonl, .csv, .tsv or .parquet")
    sae.add_argument("--text-column", default="text", metavar="NAME", help="column of the texts (%(default)s)")
    add_profile(sae)
    sae.set_defaults(run=_sae)

    data = commands.add_parser("data", help="the data sets that profiles may name; read one and check it")
    data.add_argument("name", nargs="?", help="a recipe, mix or protocol (without one, all are listed)")
    data.add_argument("--diff", metavar="NAME", help="in what NAME differs from it")
    data.add_argument("--data-dir", type=Path, metavar="FOLDER", help="copies to read ($FAC_LAB_DATA, else the hub)")
    data.set_defaults(run=_data)

    reproduce = commands.add_parser("reproduce", help="run again what a manifest tells of, and compare")
    reproduce.add_argument("manifest", type=Path, metavar="MANIFEST", help="data/results/NAME.json, or a run's")
    reproduce.add_argument("--tolerance", type=float, default=0.0, metavar="X", help="difference allowed (%(default)s)")
    reproduce.set_defaults(run=_reproduce)

    mini = commands.add_parser("mini", help="rebuild the embedded world in data/mini (minutes)")
    mini.add_argument("--out", type=Path, metavar="FOLDER", help="build there instead of in data/mini")
    mini.set_defaults(run=_mini)

    profile = commands.add_parser("profile", help="show a profile with every setting resolved")
    profile.add_argument("name", nargs="?", help="a shipped profile, or a .yaml file ($FAC_LAB_PROFILE, else mini)")
    profile.add_argument("--list", action="store_true", help="the shipped profiles only")
    profile.set_defaults(run=_profile)
    return parser


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


def _demo(args: argparse.Namespace) -> int:
    from fac_lab.demo import run_demo
    from fac_lab.profile import load_profile

    print(run_demo(load_profile(args.profile), out=args.out, fresh=args.fresh))
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


def _reproduce(args: argparse.Namespace) -> int:
    from fac_lab.reproduce import reproduce

    compared = reproduce(args.manifest, tolerance=args.tolerance)
    print("\n".join(map(str, compared)))
    return 0 if all(one.same for one in compared) else 1


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
