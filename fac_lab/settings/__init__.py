"""Parts of a profile: frozen dataclasses that refuse what they cannot hold, and name the key."""

from fac_lab.settings.reading import CollectSettings, CoverageRule, ModelSettings, SaeSettings, SaeTrainingSettings
from fac_lab.settings.studying import CorpusSettings, DetectorSettings, StudySettings
from fac_lab.settings.writing import ChatSettings, SteeringSynthesisSettings, SynthesisSettings

__all__ = [
    "ChatSettings",
    "CollectSettings",
    "CorpusSettings",
    "CoverageRule",
    "DetectorSettings",
    "ModelSettings",
    "SaeSettings",
    "SaeTrainingSettings",
    "SteeringSynthesisSettings",
    "StudySettings",
    "SynthesisSettings",
]
