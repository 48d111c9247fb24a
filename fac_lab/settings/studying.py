"""What is studied: data sets, fine-tuning, sizes."""

from dataclasses import dataclass, field

from fac_lab.plain import LATER
from fac_lab.settings.checks import at_least, one_of, require


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
        at_least("corpora.*.n", self.n, 1)
        at_least("corpora.*.held_out", self.held_out, 0)
        for entry in self.accept:
            require(
                len(entry) >= 12, f"corpora.*.accept: {entry!r} is too short; give at least 12 characters of a hash"
            )
        require(
            self.source != "mini" or self.n is not None,
            "corpora.*.n is missing: the mini world writes as many rows as asked for, so name a number",
        )
        require(
            self.source == "mini" or self.held_out == 0,
            f"corpora.*.held_out needs known concepts, which {self.source!r} has not: remove it",
        )


@dataclass(frozen=True)
class TuningSettings:
    """Fine-tuning of a detector, a reward model or an assistant on the subject."""

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
        one_of("detector.reads", self.reads, ("talk", "message"))
        one_of("detector.schedule", self.schedule, ("linear", "cosine"))
        require(0 <= self.warm_up < 1, f"detector.warm_up is {self.warm_up}; it has to be in [0, 1)")
        at_least("detector.weight_decay", self.weight_decay, 0)
        one_of("detector.mode", self.mode, ("lora", "head", "full"))
        require(self.epochs > 0, f"detector.epochs is {self.epochs}; it has to be positive")
        require(self.lr > 0, f"detector.lr is {self.lr}; it has to be positive")
        for key in ("batch", "r", "alpha", "max_tokens"):
            at_least(f"detector.{key}", getattr(self, key), 1)
        require(0 <= self.dropout < 1, f"detector.dropout is {self.dropout}; it has to be in [0, 1)")


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
        at_least("study.held_out_sets", self.held_out_sets, 1)
        require(
            0 < self.held_out_share < 1,
            f"study.held_out_share is {self.held_out_share}; it has to be between 0 and 1",
        )
        for key in ("seed_samples", "safe_samples", "budget"):
            at_least(f"study.{key}", getattr(self, key), 1)
