"""Is everything there that a profile needs? One row per thing, with the cure where it is not."""

import importlib
import json
import os
import platform
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from fac_lab import model_hub
from fac_lab.check_models import CheckRow, Hub, gpu_row, model_row, room_row, sae_row
from fac_lab.errors import FacLabError
from fac_lab.profile import Profile, is_loopback, project_root, resolve
from fac_lab.recipes.catalogue import catalogue
from fac_lab.recipes.sources import open_source
from fac_lab.settings import ChatSettings, CorpusSettings

NEEDED_GB = 2.0
"""Free disk a run may need: artifacts, answers of chat models, a detector or two."""
SLOW_IMPORTS = ("torch", "transformers", "sae_lens")
"""Packages that can be installed and yet fail to import (libraries missing, versions that do not fit)."""
DEFAULT_ENDPOINT = "https://api.openai.com/v1"
ENDPOINT_TIMEOUT = 5.0
"""Seconds that an endpoint may take to say which models it serves."""


def iter_check(profile: Profile) -> Iterator[CheckRow]:
    """Look at Python, packages, device, disk, and the models, data and endpoints of `profile`.

    Nothing is raised and nothing is changed. The network is used only for what the profile names and is not here yet,
    each question with a time-out of seconds; a hub that does not answer once is not asked again.
    """
    hub = Hub()
    yield CheckRow("python", True, platform.python_version())
    yield from _packages(_locked_versions(project_root() / "requirements.lock"))
    imports = [_import(name) for name in SLOW_IMPORTS]
    yield from imports
    if imports[0].ok:
        yield _device()
        yield from gpu_row(profile)
    yield from _disk(Path("runs").absolute())
    yield model_row("subject", profile.subject.path, hub, profile.subject.revision)
    yield sae_row(profile, hub)
    for role in ("generator", "annotator"):
        settings: ChatSettings | None = getattr(profile, role)
        if settings is None:
            yield CheckRow(role, None, f"none in profile {profile.name}")
        elif settings.backend == "local":
            yield model_row(role, settings.model, hub)
        else:
            for address in settings.addresses:
                yield _endpoint(role, settings, address)
    for role, corpus in profile.corpora.items():
        if corpus.source in catalogue():
            yield named_data_row(role, corpus, profile.data_dir)
        elif corpus.source != "mini":
            there = Path(resolve(corpus.source)).is_file()
            cure = "" if there else f"check corpora.{role}.source in profile {profile.name}"
            yield CheckRow(f"data: {role}", there, resolve(corpus.source), cure)
    yield hub.row()
    yield from room_row(profile)
    yield _browser()


def named_data_row(role: str, settings: CorpusSettings, data_dir: str | None) -> CheckRow:
    """A named data set: looked for in data_dir; on the hub nothing is fetched, so nothing can be said."""
    folder = data_dir or os.environ.get("FAC_LAB_DATA")
    if not folder:
        return CheckRow(f"data: {role}", None, f"{settings.source}, from the hub when it is first read")
    try:
        open_source(settings.source, role, data_dir=folder, accept=settings.accept)
    except FacLabError as error:
        return CheckRow(f"data: {role}", False, f"{settings.source} in {folder}", str(error))
    return CheckRow(f"data: {role}", True, f"{settings.source} in {folder}")


def _locked_versions(lock: Path) -> dict[str, str]:
    """Pinned version by normalised package name; empty where there is no lock (installed from a wheel)."""
    if not lock.is_file():
        return {}
    pins = re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {_normalised(name): version for name, version in pins}


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _packages(locked: dict[str, str]) -> Iterator[CheckRow]:
    try:
        lines = metadata.requires("fac-lab") or []
    except metadata.PackageNotFoundError:
        yield CheckRow("fac-lab", False, "not installed as a package", "pip install --no-deps -e . (or: make check)")
        return
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield package_row(requirement, locked.get(_normalised(requirement.name)))


def package_row(requirement: Requirement, pinned: str | None) -> CheckRow:
    """FAIL: missing, or outside the range we support. INFO: inside it, but not the version we tested with."""
    wanted = f"{requirement.name}=={pinned}" if pinned else str(requirement)
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return CheckRow(requirement.name, False, "not installed", f"pip install '{wanted}'")
    if not requirement.specifier.contains(version, prereleases=True):
        detail = f"{version}, outside {requirement.specifier}"
        return CheckRow(requirement.name, False, detail, f"pip install '{wanted}'")
    if pinned and version.split("+")[0] != pinned:  # "2.13.0+cpu" is a build of 2.13.0
        return CheckRow(requirement.name, None, f"{version}; tested with {pinned}")
    return CheckRow(requirement.name, True, version)


def _import(name: str) -> CheckRow:
    try:
        importlib.import_module(name)
    except Exception as error:  # a broken installation can raise anything, and here that is the finding
        said = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        cure = "pip install --force-reinstall -r requirements.lock"
        return CheckRow(f"import {name}", False, said, cure)
    return CheckRow(f"import {name}", True, "works")


def _device() -> CheckRow:
    import torch

    if torch.cuda.is_available():
        facts = torch.cuda.get_device_properties(0)
        return CheckRow("device", True, f"{facts.name}, {facts.total_memory / 2**30:.0f} GB")
    detail = f"CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    if shutil.which("nvidia-smi"):
        cure = "rm -r .venv && make install, or a torch build for your driver from pytorch.org"
        return CheckRow("device", False, f"{detail}; there is an NVIDIA GPU that torch cannot use", cure)
    return CheckRow("device", True, detail)


def _browser() -> CheckRow:
    from fac_lab.display.saving import find_browser  # it brings plotly

    without = "no chromium found; only the PNG of saved figures and the browser tests need one"
    return CheckRow("browser", None, find_browser() or without)


def _disk(folder: Path) -> Iterator[CheckRow]:
    """Whether `folder`, or the nearest parent that exists, may be written, and how much room it has."""
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
        yield CheckRow("run folder", True, str(folder))
    except OSError as error:
        yield CheckRow("run folder", False, f"{folder}: {error.strerror}", "pass --out with a folder you may write")
    free = shutil.disk_usage(there).free / 2**30
    cure = "" if free >= NEEDED_GB else f"free some space: a run may need {NEEDED_GB:.0f} GB"
    yield CheckRow("free disk", free >= NEEDED_GB, f"{free:.1f} GB", cure)


def _endpoint(role: str, settings: ChatSettings, address: str | None) -> CheckRow:
    """A short GET of address/models: is somebody there, is the key taken, is the model served?"""
    base = (address or os.environ.get("OPENAI_BASE_URL") or DEFAULT_ENDPOINT).rstrip("/")
    key = os.environ.get(settings.api_key_env)
    if not key and not is_loopback(address):
        cure = f"set the environment variable {settings.api_key_env}, or name another one as {role}.api_key_env"
        return CheckRow(role, False, f"{settings.model} at {base}: no key in ${settings.api_key_env}", cure)
    request = urllib.request.Request(f"{base}/models", headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        served = model_hub.within(2 * ENDPOINT_TIMEOUT, lambda: _served(request))
    except urllib.error.HTTPError as error:
        error.close()
        cure = f"check base_url of {role}"
        if error.code in (401, 403):
            cure = f"put a valid key into ${settings.api_key_env}" + ("" if key else " (it is not set)")
        return CheckRow(role, False, f"{base} answers HTTP {error.code}", cure)
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = "answers, but not as an OpenAI-compatible server" if not isinstance(error, OSError) else str(error)
        return CheckRow(role, False, f"{base}: {said}", f"start the server, or change base_url of {role}")
    if settings.model not in served:
        cure = f"set model of {role} to one of: {', '.join(served[:5]) or 'none'}"
        return CheckRow(role, False, f"{base} does not serve {settings.model!r}", cure)
    return CheckRow(role, True, f"{settings.model} at {base}")


def _served(request: urllib.request.Request) -> list[str]:
    with urllib.request.urlopen(request, timeout=ENDPOINT_TIMEOUT) as reply:
        return [entry["id"] for entry in json.load(reply)["data"]]
