"""Every study whose result is kept in data/results, by name: `python -m fac_lab.studies.results NAME ...`."""

import argparse
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pandas as pd

from fac_lab.errors import ModelError
from fac_lab.lab import Lab
from fac_lab.profile import as_dict
from fac_lab.studies import (
    amounts,
    detection,
    label_noise,
    label_ways,
    main_table,
    matches,
    shared_features,
    steering_tables,
    steps,
    switches,
    transfer,
)
from fac_lab.studies.baselines import baseline_study
from fac_lab.studies.correlation import SETS, correlation_study
from fac_lab.studies.equalities import equalities_study
from fac_lab.studies.generators import generator_study
from fac_lab.studies.injection import injection_study
from fac_lab.studies.instruction_tables import instruction_study, sizes_study
from fac_lab.studies.labels import label_study
from fac_lab.studies.length_control import lc_check
from fac_lab.studies.missing import recovery_study
from fac_lab.studies.numerics import numerics_study
from fac_lab.studies.protocols import protocols_study
from fac_lab.studies.representation import representation_study
from fac_lab.studies.reward import reward_study
from fac_lab.studies.reward_real import real_reward_study
from fac_lab.studies.sae_sensitivity import layer_study, sae_study
from fac_lab.studies.scrutiny import scrutiny_study
from fac_lab.studies.selection import selection_study
from fac_lab.studies.selection_real import real_selection_study
from fac_lab.studies.steering_real import real_study as real_steering_study
from fac_lab.studies.stored import write_result
from fac_lab.studies.theory import theory_study
from fac_lab.studies.threshold_sweep import threshold_study
from fac_lab.studies.toxicity import compare_arms
from fac_lab.studies.toxicity_real import real_detection_study
from fac_lab.studies.training_scale import training_scale_study
from fac_lab.studies.variants import variants_study

log = logging.getLogger(__name__)


def _on_anchor(study: Callable[..., pd.DataFrame], *, at_most: int | None = None) -> Callable[[Lab], pd.DataFrame]:
    """A study of the profile's anchor, with its matrix, over the profile's held-out sets, `at_most` so many."""

    def run(lab: Lab) -> pd.DataFrame:
        anchor = lab.stats(lab.corpus("anchor"), keep_matrix=True)
        return study(lab, anchor, sets=range(lab.profile.study.held_out_sets)[:at_most])

    return run


def _on_sets(study: Callable[..., pd.DataFrame], *, at_most: int | None = None) -> Callable[[Lab], pd.DataFrame]:
    """A study that opens anchors of its own, over the profile's held-out sets, `at_most` so many."""
    return lambda lab: study(lab, sets=range(lab.profile.study.held_out_sets)[:at_most])


RESULTS: dict[str, Callable[[Lab], pd.DataFrame]] = {
    "recovery": _on_sets(recovery_study),
    "arms": _on_anchor(compare_arms),
    "baselines": _on_anchor(baseline_study, at_most=3),
    "main_table": _on_anchor(main_table.main_table, at_most=main_table.AT_MOST_SETS),
    "labels": label_study,
    "label_ways": _on_anchor(label_ways.ways_study),
    "label_overlap": _on_anchor(label_ways.overlap_study),
    "label_arms": _on_anchor(label_ways.ways_arms, at_most=3),
    "label_noise": _on_anchor(label_noise.noise_study, at_most=3),
    "correlation": correlation_study,
    "scrutiny": lambda lab: scrutiny_study(lab, correlation_study(lab), sets=SETS),
    "numerics": numerics_study,
    "equalities": equalities_study,
    "injection": injection_study,
    "selection": _on_anchor(selection_study),
    "selection_real": real_selection_study,
    "steps": _on_anchor(steps.steps_study, at_most=3),
    "temperature": _on_anchor(steps.temperature_study, at_most=3),
    "per_feature": _on_anchor(amounts.per_feature_study, at_most=3),
    "coverage_ratio": _on_anchor(amounts.ratio_study, at_most=3),
    "second_round": _on_anchor(amounts.second_round_study, at_most=3),
    "switches": _on_anchor(switches.switches_study, at_most=3),
    "generators": _on_anchor(generator_study, at_most=3),
    "reward_head": _on_anchor(partial(reward_study, mode="head"), at_most=2),
    "reward_lora": _on_anchor(partial(reward_study, mode="lora"), at_most=2),
    "reward_real": real_reward_study,
    "toxicity_trial": lambda lab: detection.trial_study(lab, lab.stats(lab.corpus("anchor"), keep_matrix=True)),
    "toxicity_lora": _on_anchor(partial(detection.detection_study, mode="lora"), at_most=3),
    "toxicity_head": _on_anchor(partial(detection.detection_study, mode="head"), at_most=3),
    "training_scale": _on_anchor(training_scale_study, at_most=3),
    "toxicity_real": real_detection_study,
    "protocols": protocols_study,
    "theory": _on_anchor(theory_study, at_most=3),
    "transfer_matches": matches.matches_study,
    "transfer_shared": _on_sets(shared_features.shared_study, at_most=5),
    "transfer_grid": _on_sets(transfer.grid_study, at_most=3),
    "table03": _on_sets(shared_features.shared_training_study, at_most=3),
    "self_improvement": _on_sets(transfer.self_improvement_study, at_most=2),
    "fac_variants": _on_anchor(variants_study, at_most=3),
    "representation": _on_anchor(representation_study, at_most=3),
    "threshold_sweep": _on_anchor(threshold_study, at_most=2),
    "sae_sensitivity": _on_sets(sae_study, at_most=2),
    "layer_sweep": _on_sets(layer_study, at_most=2),
    "instruction": _on_anchor(instruction_study, at_most=2),
    "instruction_sizes": _on_anchor(sizes_study, at_most=2),
    "lc_check": lc_check,
    "steering": _on_anchor(steering_tables.methods_study, at_most=3),
    "steering_random": steering_tables.random_study,
    "steering_curves": steering_tables.curves_study,
    "steering_switches": steering_tables.switches_study,
    "steering_real": real_steering_study,
}


def make_result(name: str, lab: Lab, folder: Path | None = None) -> pd.DataFrame:
    """Compute a result and write it with its manifest."""
    started = time.monotonic()
    frame = RESULTS[name](lab)
    facts = {"profile": as_dict(lab.profile), "subject": lab.subject.digest}
    with suppress(ModelError):  # a study that reads no features runs where the profile's SAE is not made yet
        facts["sae"] = lab.encoder.digest
    write_result(name, frame, {**facts, "seconds": round(time.monotonic() - started)}, folder)
    return frame


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute results under a profile."""
    parser = argparse.ArgumentParser(prog="fac_lab.studies.results", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*RESULTS, []], help="all if none is named")
    parser.add_argument("--profile")
    parser.add_argument("--out", type=Path, help="folder of the results (data/results)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    lab = Lab.open(options.profile)
    for name in options.names or RESULTS:
        log.info("%s: %d rows", name, len(make_result(name, lab, options.out)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
