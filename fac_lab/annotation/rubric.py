"""What matters to a task: a rubric file per task, and the one line that the mini annotator learned."""

from pathlib import Path

from fac_lab.annotation.styles import style_of
from fac_lab.errors import SettingsError
from fac_lab.plain import nearest

RUBRICS = Path(__file__).parent / "rubrics"


def tasks() -> tuple[str, ...]:
    """Tasks that have a rubric, by name."""
    return tuple(sorted(path.stem for path in RUBRICS.glob("*.txt")))


def rubric_of(task: str, prompts: str | Path) -> str:
    """The rubric of a task for a folder of prompts: its own `rubric_TASK.txt` if it has one, else the shared one.

    Raises SettingsError for an unknown task, and for mini prompts without a rubric of their own: that annotator
    judges by the sentence it was trained on, and would answer to any other as if it were that.
    """
    own = Path(prompts) / f"rubric_{task}.txt"
    if own.is_file():
        return own.read_text(encoding="utf-8").strip()
    if task not in tasks():
        raise SettingsError(f"no rubric for task {task!r}{nearest(task, tasks())}; there are: {', '.join(tasks())}")
    if style_of(prompts).names_only:
        known = ", ".join(path.stem.removeprefix("rubric_") for path in sorted(Path(prompts).glob("rubric_*.txt")))
        raise SettingsError(
            f"the mini annotator never learned the rubric of {task} (only {known}): take a profile whose annotator "
            'follows instructions, with synthesis.prompts "paper"'
        )
    return (RUBRICS / f"{task}.txt").read_text(encoding="utf-8").strip()
