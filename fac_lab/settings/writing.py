"""What writes: chat models and synthesis."""

from dataclasses import dataclass, field

from fac_lab.plain import LATER
from fac_lab.settings.checks import at_least, one_of, require


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
            at_least(key, getattr(self, key), 0)
        one_of("chat backend", self.backend, ("local", "endpoint"))
        require(
            self.backend == "endpoint" or self.base_url is None,
            f"base_url {self.base_url!r} is given for a local backend: write backend: endpoint, or remove it",
        )
        require(
            0 < len(self.addresses) == len(set(self.addresses)),
            f"base_url is {self.base_url!r}; name one address, or several different ones",
        )
        at_least("concurrency", self.concurrency, 1)
        at_least("retries", self.retries, 0)
        require(self.timeout > 0, f"timeout is {self.timeout}; it has to be positive (seconds)")
        at_least("max_requests", self.max_requests, 0)
        at_least("max_tokens_total", self.max_tokens_total, 0)

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
            at_least(f"synthesis.{key}", getattr(self, key), 1)
        at_least("synthesis.step2_draws", self.step2_draws, 0)
        for key in ("fallback", "filter", "features"):
            one_of(f"synthesis.{key}", getattr(self, key), ("paper", "code"))
        at_least("synthesis.temperature", self.temperature, 0)
        require(0 < self.top_p <= 1, f"synthesis.top_p is {self.top_p}; it has to be in (0, 1]")
        one_of("synthesis.prompts", self.prompts, ("paper", "mini"))


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
            at_least(f"steered.{key}", getattr(self, key), 1)
        for key in ("target", "start"):
            require(getattr(self, key) > 0, f"steered.{key} is {getattr(self, key)}; it has to be positive")
        at_least("steered.most (not below start)", self.most, self.start)
        at_least("steered.perplexity_limit", self.perplexity_limit, 1)
