"""Work on a device of one's own, with the hours and the memory it takes: reading texts, training, answering."""

from typing import NamedTuple

from fac_lab.planning import estimates
from fac_lab.planning.assumptions import Assumptions
from fac_lab.planning.estimates import GB, Device
from fac_lab.planning.facts import ModelFacts, model_facts, sae_facts
from fac_lab.planning.workload import Calls, Reading, Training, Workload
from fac_lab.profile import Profile
from fac_lab.settings import ChatSettings


class Step(NamedTuple):
    """Work of a device of one's own."""

    what: str
    tokens: int
    hours: float | None
    memory_gb: float | None
    """Peak; None of both where the model's sizes are not known."""


def gpu_memory_gb(profile: Profile) -> float | None:
    """Memory a GPU needs to read texts under a profile; None for a model that a CPU reads, or of unknown sizes."""
    assumed = Assumptions()
    subject, sae = model_facts(profile.subject.path), sae_facts(profile.sae)
    if subject is None or subject.parameters < assumed("gpu_from_parameters"):
        return None
    return _reading_memory(profile, subject, sae.d_sae if sae else 0, assumed)


def own_steps(
    profile: Profile,
    work: Workload,
    subject: ModelFacts | None,
    d_sae: int,
    device: Device,
    assumed: Assumptions,
) -> list[Step]:
    """One step per reading, and one for all detectors; without `subject`, its sizes being unknown, no figures."""
    steps = [_reading(profile, reading, subject, d_sae, device, assumed) for reading in work.readings]
    return steps + ([_training(profile, work.training, subject, device, assumed)] if work.training else [])


def _reading(
    profile: Profile, reading: Reading, subject: ModelFacts | None, d_sae: int, device: Device, assumed: Assumptions
) -> Step:
    what = f"read {reading.texts:,} texts: {reading.what}"
    if subject is None:
        return Step(what, reading.tokens, None, None)
    operations = estimates.reading_operations(
        subject,
        d_sae,
        layer=profile.subject.layer,
        tokens=reading.tokens,
        text_tokens=reading.tokens / max(reading.texts, 1),
    )
    hours = device.hours(operations, assumed("reading_share"))
    return Step(what, reading.tokens, hours, _reading_memory(profile, subject, d_sae, assumed))


def _reading_memory(profile: Profile, subject: ModelFacts, d_sae: int, assumed: Assumptions) -> float:
    size = estimates.reading_memory(
        subject,
        d_sae,
        dtype=profile.subject.dtype,
        batch_tokens=profile.collect.batch_tokens,
        copies=assumed("encoder_copies"),
        reserve_gb=assumed("device_reserve_gb"),
    )
    return size / GB


def _training(
    profile: Profile, run: Training, subject: ModelFacts | None, device: Device, assumed: Assumptions
) -> Step:
    detector = profile.detector
    what = f"train and score {run.runs} detectors ({detector.mode})"
    passes = 1 if detector.mode == "head" else detector.epochs
    tokens = round(run.runs * (passes * run.rows + run.test_rows) * run.row_tokens)
    if subject is None:
        return Step(what, tokens, None, None)
    operations = estimates.training_operations(subject, detector, seeds=len(profile.seeds), **run._asdict())
    memory = estimates.training_memory(
        subject,
        detector,
        on_gpu=device.gpu,
        row_tokens=detector.max_tokens,
        activation_bytes=assumed("activation_bytes"),
        adapter_bytes=assumed("adapter_bytes"),
        reserve_gb=assumed("device_reserve_gb"),
    )
    return Step(what, tokens, device.hours(operations, assumed("training_share")), memory / GB)


def serving_step(
    role: str,
    settings: ChatSettings,
    calls: list[Calls],
    model: ModelFacts | None,
    device: Device,
    assumed: Assumptions,
) -> Step:
    """All calls to a model that answers on the device itself."""
    tokens = sum(line.calls * (line.prompt_tokens + line.completion_tokens) for line in calls)
    what = f"answer {sum(line.calls for line in calls):,} calls as {role}: {settings.model}"
    if model is None:
        return Step(what, tokens, None, None)
    hours = device.hours(estimates.writing_operations(model, tokens), assumed("generation_share"))
    longest = max(line.prompt_tokens + line.most_tokens for line in calls)
    memory = estimates.serving_memory(
        model, sequences=settings.concurrency, tokens=longest, reserve_gb=assumed("device_reserve_gb")
    )
    return Step(what, tokens, hours, memory / GB)
