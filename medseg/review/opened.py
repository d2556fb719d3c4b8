"""A case that is open in the app: its voxels in memory, and as files that a browser may be given."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from medseg.config.review import ReviewLimits
from medseg.core.volume import LabelMap
from medseg.io.raster import RGB

from .case_files import CaseFiles
from .open_case import OpenCase, open_case
from .served import Served, served_image, served_overlay
from .session_files import Room, Session


@dataclass(eq=False)
class OpenedCase:
    """What all who look at a case share; safe among threads.

    Attributes:
        case: The voxels.
        image: The file of the image, of its first channel where it has several.
    """

    case: OpenCase
    image: Served
    _limits: ReviewLimits = field(repr=False)
    _room: Room = field(repr=False)
    _channels: dict[str, Served] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of which one is shown at a time; those of a colour picture are shown together."""
        volume = self.case.volume
        return () if volume.channels == RGB else volume.channels

    def channel(self, name: str) -> Served:
        """The file of one channel.

        Raises:
            GeometryError: If there is no such channel.
            OutputError: If it cannot be written.
        """
        if not self.channels or name == self.channels[0]:
            return self.image
        with self._lock:
            if name not in self._channels:
                folder = self.image.path.parent
                self._channels[name] = served_image(self.case.volume, folder, self._limits, name)
            return self._channels[name]

    def overlay(self, label_map: LabelMap) -> Served:
        """A file of values to look at over the image.

        Raises:
            OutputError: If it cannot be written.
            GeometryError: If the values are not on the image's grid.
        """
        return served_overlay(label_map, self.image)

    def is_of(self, files: CaseFiles) -> bool:
        """Whether it was read from these files, as far as their names tell."""
        mine = self.case.files
        return _places(mine) == _places(files)

    def close(self) -> None:
        """Remove the files."""
        self._room.remove()


def opened_case(files: CaseFiles, session: Session, limits: ReviewLimits) -> OpenedCase:
    """Read a case, and write its image for the browser into a new folder of the session.

    Raises:
        MedsegError: As ``open_case``; nothing is left then.
        OutputError: If the files cannot be written.
    """
    case = open_case(files)
    room = session.new_room()
    with room.or_nothing():
        return OpenedCase(case, served_image(case.volume, room.path, limits), limits, room)


def _places(files: CaseFiles) -> tuple[object, ...]:
    others: Mapping[str, object] = files.others
    return files.image, files.prediction, files.reference, files.uncertainty, tuple(others.items())
