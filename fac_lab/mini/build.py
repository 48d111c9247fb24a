"""Builds data/mini: `python -m fac_lab.mini.build` (or `make mini`), at most 20 minutes on two cores.

The three models are independent, so each is built by a process of its own with one thread: on small matrices two
threads are no faster than one. Training ends by counted tokens, not by the clock, and every draw is seeded: on one
machine a rebuild is the same to the bit, on another one the figures of the reports agree within TOLERANCE.
"""

import argparse
import ast
import json
import logging
import multiprocessing
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import fac_lab
from fac_lab import annotation, synthesis
from fac_lab.atomic import write_atomic
from fac_lab.chat.client import ChatClient
from fac_lab.chat.local import LocalBackend
from fac_lab.corpora import Corpus, Row
from fac_lab.digests import digest
from fac_lab.features.collect import collect
from fac_lab.features.evaluation import evaluate_sae
from fac_lab.features.saes import load_sae
from fac_lab.features.subject import Subject
from fac_lab.features.training import train_sae
from fac_lab.mini.skills import evaluate_skills, unprompted
from fac_lab.mini.training import RECIPES, loss_and_entropy, save_model, train_model, train_tokenizer
from fac_lab.profile import project_root
from fac_lab.settings import CollectSettings, ModelSettings, SaeSettings, SaeTrainingSettings
from fac_lab.studies.dictionary import concept_f1
from fac_lab.world import concepts, queries

log = logging.getLogger(__name__)

LAYER = 1
"""Layer whose output the SAEs read, counted from 0."""
TRAINING_CODE = ("documents", "muon", "training")
"""Modules of this package that decide what a model becomes; the others only examine it."""
TRAINING_PROMPTS = ("explain", "judge", "rubric_toxicity", "toxicity_one_step", "toxicity_plain", "toxicity_two_step")
"""Mini prompts that the models learn; what is asked of them later in other words does not change them."""
SAES = {
    name: SaeTrainingSettings(d_sae=4096, k=3, tokens=tokens, lr=1.2e-3, batch=512, seed=0)
    for name, tokens in {"llama": 800_000, "mistral": 500_000, "qwen": 500_000}.items()
}
"""Training of each model's SAE; llama, the subject that most notebooks read, gets the longest."""
SAE_QUERIES = 40_000
FIT_QUERIES, HELD_QUERIES = 30, 15
"""Queries per concept on which features are chosen, and, in wordings never trained on, scored."""

SKILL_PROMPTS = 100
"""Prompts per line of the skill table."""

TOLERANCE = {
    "loss": 0.02,
    "explained_variance": 0.03,
    "dead_share": 0.05,
    "feature_f1": 0.05,
    "probe_f1": 0.03,
}
"""How far a rebuild's figures may lie from the shipped ones, on any machine."""


def source_digest() -> str:
    """Digest of everything that makes data/mini: the world's text, the prompts, the settings and the training code.

    Of the code, what the interpreter sees: comments, docstrings and layout may change without a rebuild.
    """
    package = Path(fac_lab.__file__).parent
    prompts = [Path(part.__file__).parent / "prompts" / "mini" for part in (annotation, synthesis)]
    texts = [
        *sorted((package / "world").rglob("*.yaml")),
        *(path for folder in prompts for path in sorted(folder.iterdir()) if path.stem in TRAINING_PROMPTS),
    ]
    code = [*sorted((package / "world").glob("*.py")), *(package / "mini" / f"{name}.py" for name in TRAINING_CODE)]
    return digest(
        [path.read_bytes() for path in texts],
        [without_docstrings(path.read_text(encoding="utf-8")) for path in code],
        [SAES, LAYER, SAE_QUERIES],
    )


def without_docstrings(code: str) -> str:
    """A module's syntax tree as text, comments and docstrings left out."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):
            node.body = [
                item for item in node.body if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))
            ]
    return ast.dump(tree)


def build_model(name: str, folder: Path, *, tokens: int | None = None, sae: SaeTrainingSettings | None = None) -> dict:
    """Train, save and examine one chat model and its SAE in `folder`; returns what report.json says.

    A model that was trained by this very code is found again, so that a build that was interrupted goes on.
    `tokens` and `sae` cut the trainings short, for tests.
    """
    torch.set_num_threads(1)
    recipe, sae, started = RECIPES[name], sae or SAES[name], time.monotonic()
    trained = _train_chat_model(name, folder, tokens)
    # From here on everything reads what was saved, float16 rounding included.
    subject = Subject.load(ModelSettings(path=str(folder), layer=LAYER, max_tokens=128))
    subject.name = f"data/mini/{name}"  # wherever it is built, the SAE's metadata name the place it is made for
    if not (folder / "sae" / "training.json").exists():
        train_sae(subject, _corpus("sae training", queries(SAE_QUERIES, seed=500)), sae, folder / "sae")
        halve(folder / "sae" / "sae_weights.safetensors")
    sae_trained = time.monotonic()
    chat = ChatClient(LocalBackend(str(folder)), cache=None, progress=False)
    report = {
        "model": name,
        "architecture": recipe.architecture,
        "mix": recipe.mix,
        "parameters": sum(weight.numel() for weight in subject.model.parameters()),
        "tokens": tokens or recipe.tokens,
        **loss_and_entropy(subject.model, subject.tokenizer, recipe),
        "layer": LAYER,
        "sae": {"settings": asdict(sae), **examine_sae(subject, folder / "sae")},
        "skills": [skill._asdict() for skill in evaluate_skills(chat, recipe.mix, n=SKILL_PROMPTS)],
        "unprompted": unprompted(chat) if recipe.mix != "innocent" else None,
        "seconds": {
            "model": trained["seconds"],
            "sae": round(sae_trained - started),
            "examination": round(time.monotonic() - sae_trained),
        },
    }
    _write_json(folder / "report.json", report)
    return report


def _train_chat_model(name: str, folder: Path, tokens: int | None) -> dict:
    """What trained.json says of a model that is there, or is trained now."""
    record, made_by = folder / "trained.json", digest(source_digest(), name, tokens)
    if record.exists() and (found := json.loads(record.read_text()))["made_by"] == made_by:
        log.info("%s: found", folder)
        return found
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    recipe, started = RECIPES[name], time.monotonic()
    tokenizer = train_tokenizer(recipe)
    save_model(train_model(recipe, tokenizer, tokens=tokens), tokenizer, folder)
    trained = {"made_by": made_by, "seconds": round(time.monotonic() - started)}
    _write_json(record, trained)
    return trained


def examine_sae(subject: Subject, folder: Path) -> dict:
    """Quality of a saved SAE, and how well its features name the concepts in wordings never trained on."""
    sae = load_sae(SaeSettings(source="folder", path=str(folder)), subject)
    fit, held = queries(FIT_QUERIES * len(concepts()), seed=501), _held_queries()
    stats = [
        collect(subject, sae, _corpus(name, drawn), CollectSettings(top_spans=0), keep_matrix=True, progress=False)
        for name, drawn in (("fit", fit), ("held", held))
    ]
    truths = [np.array([concept.id for concept, _ in drawn]) for drawn in (fit, held)]
    scores = concept_f1(stats[0].matrix, truths[0], stats[1].matrix, truths[1])
    quality = evaluate_sae(subject, sae, [text for _, text in fit[:1000]])
    lit = stats[0].matrix.nnz / np.prod(stats[0].matrix.shape)
    return {
        **quality._asdict(),
        "dead_share": float((stats[0].maximum == 0).mean()),
        "lit_share": float(lit),
        "feature_f1": float(scores.feature_f1.median()),
        "feature_f1_quartiles": scores.feature_f1.quantile([0.25, 0.75]).tolist(),
        "probe_f1": float(scores.probe_f1.median()),
        "probe_f1_quartiles": scores.probe_f1.quantile([0.25, 0.75]).tolist(),
        "n_fit": len(fit),
        "n_held": len(held),
    }


def _held_queries() -> list:
    return queries(HELD_QUERIES * len(concepts()), seed=502, held_forms=True)


def _corpus(name: str, drawn: Sequence[tuple]) -> Corpus:
    return Corpus.from_rows(name, [Row(f"{name}-{i}", text, None, c.id) for i, (c, text) in enumerate(drawn)])


def halve(path: Path) -> None:
    """Store a safetensors file's weights in float16."""
    weights = {name: weight.half() for name, weight in load_file(path).items()}
    write_atomic(path, lambda temporary: save_file(weights, temporary))


def build(folder: Path, names: Sequence[str] = tuple(RECIPES)) -> dict:
    """All models side by side, then the manifest; a world that is half built has none."""
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").unlink(missing_ok=True)
    with multiprocessing.get_context("spawn").Pool(len(names)) as pool:
        reports = pool.starmap(build_model, [(name, folder / name) for name in names], chunksize=1)
    manifest = {
        "source": source_digest(),
        "models": {report["model"]: digest(folder / report["model"]) for report in reports},
        "seconds": round(time.monotonic() - started),
        "torch": torch.__version__,
    }
    _write_json(folder / "manifest.json", manifest)
    return manifest


def differences(first: dict, second: dict) -> dict[str, float]:
    """How far two reports of one model lie apart, per figure of TOLERANCE."""
    # The SAE has a loss of its own (of the model without it), which must not stand in for the model's.
    flat = [{**report["sae"], **report} for report in (first, second)]
    return {key: abs(flat[0][key] - flat[1][key]) for key in TOLERANCE}


def _write_json(path: Path, value: dict) -> None:
    write_atomic(path, lambda temporary: temporary.write_text(json.dumps(value, indent=1) + "\n"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the world; with `--compare`, also say whether it agrees with another one."""
    parser = argparse.ArgumentParser(prog="fac_lab.mini.build", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=project_root() / "data" / "mini")
    parser.add_argument("--only", nargs="+", choices=tuple(RECIPES), default=tuple(RECIPES))
    parser.add_argument("--fresh", action="store_true", help="train models anew that are there already")
    parser.add_argument("--compare", type=Path, help="a folder built earlier, to hold the figures against")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.fresh:
        for name in options.only:
            shutil.rmtree(options.out / name, ignore_errors=True)
    manifest = build(options.out, options.only)
    log.info("built %s in %d s", ", ".join(manifest["models"]), manifest["seconds"])
    if options.compare is None:
        return 0
    apart = False
    for name in options.only:
        reports = [json.loads((folder / name / "report.json").read_text()) for folder in (options.out, options.compare)]
        for key, value in differences(*reports).items():
            verdict = "within" if value <= TOLERANCE[key] else "OUTSIDE"
            apart |= verdict == "OUTSIDE"
            log.info("%-8s %-20s differs by %.4f, %s %.2f", name, key, value, verdict, TOLERANCE[key])
    return int(apart)


if __name__ == "__main__":
    raise SystemExit(main())
