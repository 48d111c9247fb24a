"""Parts of a profile: frozen dataclasses that refuse what they cannot hold, and name the key."""

from fac_lab.settings.reading import CollectSettings, CoverageRule, ModelSettings, SaeSettings, SaeTrainingSettings
from fac_lab.settings.studying import CorpusSettings, StudySettings, TuningSettings
from fac_lab.settings.writing import ChatSettings, SteeringSynthesisSettings, SynthesisSettings

__all__ = [
    "ChatSettings",
    "CollectSettings",
    "CorpusSettings",
    "CoverageRule",
    "TuningSettings",
    "ModelSettings",
    "SaeSettings",
    "SaeTrainingSettings",
    "SteeringSynthesisSettings",
    "StudySettings",
    "SynthesisSettings",
]
