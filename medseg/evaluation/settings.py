"""What defines the scores of an evaluation; two evaluations are comparable if theirs are equal."""

from __future__ import annotations

from dataclasses import dataclass, field

from medseg.core.errors import LabelError
from medseg.core.labels import LabelScheme
from medseg.metrics.table import ScoreSettings

from .intervals import Bootstrap

MATCH_IOU = 0.5
"""Intersection over union that instances of a pair exceed: from here on no instance has two partners."""


@dataclass(frozen=True)
class Settings:
    """What defines the scores.

    Attributes:
        scores: Of each structure.
        instances: Targets that come several times, such as lesions; each connected part counts as one instance.
        bootstrap: How the intervals are made.
    """

    scores: ScoreSettings = field(default_factory=ScoreSettings)
    instances: tuple[str, ...] = ()
    bootstrap: Bootstrap = field(default_factory=Bootstrap)

    def check(self, scheme: LabelScheme) -> None:
        """Make sure that all targets that are named are the scheme's.

        Raises:
            LabelError: If one is not.
        """
        self.scores.check(scheme)
        unknown = [name for name in self.instances if name not in scheme.targets]
        if unknown:
            known = ", ".join(map(repr, scheme.targets))
            raise LabelError(f"no structure {unknown[0]!r} to count instances of; there are {known}")
