"""Outlines corrected by clicks, as strokes of a sitting; each click can be taken back."""

from __future__ import annotations

from medseg.core.errors import InputError
from medseg.core.segmentation import Segmentation

from .clicks import Click, Voxel, refined
from .sitting import Sitting

_MOST = 10


class Refining:
    """The clicks of one sitting on one version; on another one they begin anew."""

    def __init__(self, sitting: Sitting) -> None:
        """No click was made yet.

        Args:
            sitting: Whose outlines are corrected.
        """
        self._sitting = sitting
        self._version = sitting.shown.version.number
        self._clicks: list[Click] = []
        self._before: list[Segmentation] = []

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks that hold, the oldest first."""
        self._begin()
        return tuple(self._clicks)

    def click(self, target: str, voxel: Voxel, *, belongs: bool) -> int:
        """Follow a click; what changes is on the screen as strokes that are in no version.

        Args:
            target: The structure that it speaks of.
            voxel: Of the image.
            belongs: Whether the voxel belongs to the structure.

        Returns:
            How many voxels changed.

        Raises:
            InputError: If the voxel lies outside, or strokes from before have to be decided about.
            LabelError: If the structure is none of the case's.
            OutputError: If the strokes cannot be kept.
        """
        self._begin()
        self._sitting.check_drawing()
        current = self._sitting.current()
        clicks = [*self._clicks, Click(target, voxel, belongs)]
        found = refined(self._sitting.opened.case.volume, current, clicks)
        if found.voxels:
            self._sitting.redraw(found.segmentation.labels)
        self._clicks = clicks
        self._before = [*self._before, current][-_MOST:]
        return found.voxels

    def take_back(self) -> None:
        """Put the outlines on the screen that were there before the last click.

        Raises:
            InputError: If there was none, or none that is still known.
        """
        self._begin()
        if not self._before:
            raise InputError("there is no click to take back")
        self._sitting.redraw(self._before.pop().labels)
        self._clicks.pop()

    def _begin(self) -> None:
        """Forget clicks on another version."""
        version = self._sitting.shown.version.number
        if version != self._version:
            self._version, self._clicks, self._before = version, [], []
