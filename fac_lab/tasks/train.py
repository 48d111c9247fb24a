"""Train the profile's detector on files of labelled texts; several GPUs through accelerate.

    python -m fac_lab.tasks.train train.jsonl test.jsonl --profile mini --out runs/detector
    accelerate launch --num_processes 8 -m fac_lab.tasks.train train.jsonl test.jsonl --profile llama
    accelerate launch --num_machines 2 --machine_rank 0 --main_process_ip ADDRESS --main_process_port 29500 \
        --num_processes 16 -m fac_lab.tasks.train train.jsonl test.jsonl --profile llama

Several processes share the rows of each step (`detector.batch` is their sum), so the same settings mean the same
training. Every row needs a label: 1 is toxic, 0 is safe.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from fac_lab.corpora import Corpus
from fac_lab.errors import FacLabError
from fac_lab.profile import load_profile, resolve
from fac_lab.tasks.backbone import processes
from fac_lab.tasks.toxicity import train_detector


def main(argv: Sequence[str] | None = None) -> int:
    """Train, evaluate, print the AUPRC; 0, or 2 after an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path, help="labelled texts: .jsonl, .csv, .tsv or .parquet")
    parser.add_argument("test", type=Path, help="the same, held out")
    parser.add_argument("--profile", help="a shipped profile, or a .yaml file ($FAC_LAB_PROFILE, else mini)")
    parser.add_argument("--text-column", default="text", metavar="NAME", help="(%(default)s)")
    parser.add_argument("--label-column", default="label", metavar="NAME", help="(%(default)s)")
    parser.add_argument("--seed", type=int, help="(the profile's first)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="keep the detector there")
    options = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    first = processes()[0] == 0
    columns = {"text_column": options.text_column, "label_column": options.label_column}
    try:
        profile = load_profile(options.profile)
        train, test = (list(Corpus.from_file(path, **columns)) for path in (options.train, options.test))
        seed = profile.seeds[0] if options.seed is None else options.seed
        run = train_detector(
            resolve(profile.subject.path),
            train,
            test,
            profile.detector,
            seed=seed,
            folder=options.out,
            progress=first,
        )
    except FacLabError as error:
        print(f"fac-lab: {error}", file=sys.stderr)
        return 2
    if first:
        print(
            f"AUPRC {run.auprc:.4f} on {len(test)} rows, seed {seed}; "
            f"trained on {run.n_train} rows ({run.n_positive} toxic) in {run.seconds:.1f} s"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
