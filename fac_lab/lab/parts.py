"""What a profile names, opened when first needed: models, corpora, prompts, and the store of results.

PyTorch is imported with the first model, so that a lab which only reads results (a browser of a finished audit, one of
fifty on a machine) does without its seconds and its hundreds of megabytes.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fac_lab import annotation
from fac_lab.annotation.rubric import rubric_of
from fac_lab.chat.client import ChatClient, open_client
from fac_lab.corpora import Corpus, open_corpus
from fac_lab.errors import SettingsError
from fac_lab.profile import Profile, load_profile, project_root, resolve
from fac_lab.recipes.protocols import save_record
from fac_lab.settings import ChatSettings
from fac_lab.store import Store

if TYPE_CHECKING:
    from fac_lab.features.encoder import Encoder
    from fac_lab.features.subject import Subject
    from fac_lab.tasks.backbone import Backbone


class Parts:
    """A profile's subject, SAE and chat models beside the store of their results."""

    def __init__(self, profile: Profile, out: str | Path) -> None:
        self.profile = profile
        self.store = Store(out)
        self.store.clear_temporaries()

    @classmethod
    def open(cls, profile: str | Path | Profile | None = None, *, out: str | Path | None = None) -> Self:
        """The lab of a profile (by name, path, or $FAC_LAB_PROFILE); results go to `out`, else runs/<profile>."""
        loaded = profile if isinstance(profile, Profile) else load_profile(profile)
        return cls(loaded, out or project_root() / "runs" / loaded.name)

    @cached_property
    def subject(self) -> "Subject":
        """The model whose features are read."""
        from fac_lab.features.subject import Subject

        return Subject.load(self.profile.subject)

    @cached_property
    def sae(self) -> Any:
        """The subject's sparse autoencoder (a sae-lens SAE), checked against it."""
        from fac_lab.features.saes import load_sae

        return load_sae(self.profile.sae, self.subject)

    @cached_property
    def backbone(self) -> "Backbone":
        """The subject's model as a base for detectors, lent to one fine-tuning run after another."""
        from fac_lab.tasks.backbone import Backbone

        return Backbone(resolve(self.profile.subject.path))

    @cached_property
    def encoder(self) -> "Encoder":
        """The SAE as a pooling encoder."""
        from fac_lab.features.encoder import Encoder

        return Encoder(self.sae)

    @cached_property
    def generator(self) -> ChatClient:
        """The chat model that writes samples."""
        return self._client("generator", self.profile.generator)

    @cached_property
    def annotator(self) -> ChatClient:
        """The chat model that names and judges features."""
        return self._client("annotator", self.profile.annotator)

    def corpus(self, role: str) -> Corpus:
        """A data set of the profile by role: anchor, seed, pool or test."""
        if role not in self.profile.corpora:
            raise SettingsError(
                f"profile {self.profile.name} names no {role} corpus, only {sorted(self.profile.corpora)}; "
                f"add corpora.{role} to it"
            )
        corpus = open_corpus(self.profile.corpora[role], role, data_dir=self.profile.data_dir)
        if corpus.record is not None:
            save_record(corpus.record, self.store.root / "corpora" / f"{role}.json")
        return corpus

    @property
    def prompts(self) -> Path:
        """The folder of the profile's annotation prompts."""
        return self._prompts(annotation)

    def rubric(self, task: str) -> str:
        """What matters to a task, in the words that the profile's prompts use. Raises SettingsError for an unknown
        task, and for one that the mini annotator never learned."""
        return rubric_of(task, self.prompts)

    def _client(self, part: str, settings: ChatSettings | None) -> ChatClient:
        if settings is None:
            raise SettingsError(f"profile {self.profile.name} names no {part}; add `{part}:` with a chat model to it")
        return open_client(settings, self.store.root / "chat")

    def _prompts(self, package) -> Path:
        return Path(package.__file__).parent / "prompts" / self.profile.synthesis.prompts
