"""What the cleaning of files beside images has to know."""

from __future__ import annotations

from dataclasses import dataclass

from medseg.core.pseudonyms import ProjectKey

from .descriptors import Vocabulary


@dataclass(frozen=True)
class SidecarRules:
    """How files beside images are cleaned.

    Attributes:
        key: Of the project.
        vocabulary: Words that may stay in free text.
        days: By which dates move, as ``ProjectKey.days`` gives them for the subject; 0 keeps them, None takes them out.
        characteristics: Whether sex, age, size, weight and handedness stay.
    """

    key: ProjectKey
    vocabulary: Vocabulary
    days: int | None = None
    characteristics: bool = False
