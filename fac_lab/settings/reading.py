"""What is read, and how: the subject, its SAE, the collection of activations, the coverage rule."""

from dataclasses import dataclass, field

from fac_lab import collect_protocol
from fac_lab.plain import LATER
from fac_lab.settings.checks import at_least, one_of, require


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
        at_least("subject.layer (counted from 0)", self.layer, 0)
        at_least("subject.max_tokens", self.max_tokens, 1)
        one_of("subject.dtype", self.dtype, ("float32", "bfloat16", "float16"))
        one_of("subject.template", self.template, ("chat", "none"))


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
        one_of("sae.source", self.source, ("folder", "release", "authors"))
        require(
            self.file is None or self.source == "authors",
            f"sae.file is {self.file!r} but sae.source is {self.source!r}: only source 'authors' names a file",
        )
        require(
            self.revision is None or self.file is not None,
            f"sae.revision is {self.revision!r} without sae.file: a revision is that of a repository on the hub",
        )
        require(
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
        at_least("sae_training.k", self.k, 1)
        one_of("sae_training.decoder", self.decoder, ("untied", "tied"))
        one_of("sae_training.loss", self.loss, ("squared", "normalised"))
        require(
            self.k_start is None or self.k <= self.k_start <= self.d_sae,
            f"sae_training.k_start is {self.k_start}; it has to lie between k = {self.k} and d_sae = {self.d_sae}",
        )
        require(0 < self.k_share <= 1, f"sae_training.k_share is {self.k_share}; it has to be in (0, 1]")
        at_least("sae_training.clustering", self.clustering, 0)
        require(
            0 < self.dead_after <= 1, f"sae_training.dead_after is {self.dead_after}; it has to be a share, above 0"
        )
        require(self.d_sae > self.k, f"sae_training.d_sae is {self.d_sae}; it has to exceed k = {self.k}")
        at_least("sae_training.batch", self.batch, 1)
        require(
            self.tokens >= self.batch,
            f"sae_training.tokens is {self.tokens}, less than one batch of {self.batch}: raise it",
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
            at_least(f"collect.{key}", getattr(self, key), 1)
        at_least("collect.top_spans", self.top_spans, 0)
        one_of("collect.pool", self.pool, ("paper", "content"))


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
        one_of("rule.kind", self.kind, ("absolute", "anchor_quantile", "feature_quantile"))
        at_least("rule.delta", self.delta, 0)
        require(0 <= self.quantile < 1, f"rule.quantile is {self.quantile}; it has to be in [0, 1)")
        at_least("rule.support", self.support, 1)
        require(0 < self.alpha < 1, f"rule.alpha is {self.alpha}; it has to be between 0 and 1")
        require(self.fdr is None or 0 < self.fdr < 1, f"rule.fdr is {self.fdr}; it has to be between 0 and 1, or null")
