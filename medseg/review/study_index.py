"""Where the files of a study lie among thousands: looked up by its pseudonym, found without reading every file."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medseg.batch.channels import read_channels
from medseg.batch.discover import find_studies, study_name
from medseg.batch.select import Match, Rules, choose
from medseg.core.errors import ReadError, StudyError
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.names import SERIES, name_of
from medseg.io.dicom_identity import read_file_identity
from medseg.io.listing import list_files
from medseg.io.studies import Series, sort_series

from .case_files import ReadImage
from .image_sources import gaps_note, read_with_gaps

_SECONDS_BETWEEN_LOOKS = 5.0
_GONE = "the files of this study are not in the folder of studies any more"


@dataclass(frozen=True, eq=False)
class _Folder:
    """A folder with files in it, as it was when it was looked at."""

    changed: int
    study: str
    files: tuple[Path, ...] = field(repr=False)


class StudyIndex:
    """The studies below a folder; any number of threads may ask.

    A folder mostly holds files of one study. So at first only one file of each folder is asked whose it is, and again
    only where files came or went; every file is asked if that was not enough.

    Args:
        root: Folder of the studies.
        key: Makes their pseudonyms.
    """

    def __init__(self, root: Path, key: ProjectKey) -> None:
        self._root, self._key = root, key
        self._turn = threading.Lock()
        self._folders: dict[Path, _Folder] = {}
        self._all: Mapping[str, tuple[Path, ...]] = {}
        self._looked = {False: -_SECONDS_BETWEEN_LOOKS, True: -_SECONDS_BETWEEN_LOOKS}

    def files(self, study: str, *, thorough: bool = False) -> tuple[Path, ...]:
        """The files that are the study's, and those that lie beside them.

        Args:
            study: Its pseudonym.
            thorough: Ask every file below the folder, which takes a minute for a hundred thousand.

        Raises:
            StudyError: If there are none.
            InputError: If there are more than a million files.
        """
        with self._turn:
            found = self._known(study, thorough=thorough)
            is_stale = not found or not all(path.exists() for path in {path.parent for path in found})
            if is_stale and time.monotonic() - self._looked[thorough] >= _SECONDS_BETWEEN_LOOKS:
                self._look(thorough=thorough)
                self._looked[thorough] = time.monotonic()
                found = self._known(study, thorough=thorough)
        if not found:
            raise StudyError(_GONE)
        return found

    def _known(self, study: str, *, thorough: bool) -> tuple[Path, ...]:
        if thorough:
            return self._all.get(study, ())
        return tuple(path for folder in self._folders.values() if folder.study == study for path in folder.files)

    def _look(self, *, thorough: bool) -> None:
        if not self._root.is_dir():
            raise StudyError("the folder of studies is not there")
        if thorough:
            found = find_studies(self._root, self._key)
            self._all = {one.name: tuple(map(Path, one.paths)) for one in found.studies}
            return
        by_folder: dict[Path, list[Path]] = {}
        for path in list_files(self._root.absolute()).files:
            by_folder.setdefault(path.parent, []).append(path)
        self._folders = {folder: self._looked_at(folder, files) for folder, files in by_folder.items()}

    def _looked_at(self, folder: Path, files: Sequence[Path]) -> _Folder:
        changed, before = _changed(folder), self._folders.get(folder)
        if before is not None and before.changed == changed:
            return before
        return _Folder(changed, next(filter(None, map(self._study_of, files)), ""), tuple(files))

    def _study_of(self, path: Path) -> str:
        try:
            identity = read_file_identity(path)
        except ReadError:
            return ""
        return "" if identity is None else study_name(self._key, identity.study_uid)


@dataclass(frozen=True, eq=False)
class StudyImage:
    """The series of a study that a batch predicted, looked for when it is opened.

    Attributes:
        index: Knows the files.
        key: Makes the pseudonyms.
        study: Pseudonym of the study.
        name: Pseudonym of the series; of several channels, of the one on whose grid the result lies.
        rules: What the model takes; None if nobody knows the model. Then only the first channel is found.
        thorough: Whether every file of the folder is asked.
    """

    index: StudyIndex
    key: ProjectKey
    study: str
    name: str
    rules: Rules | None = None
    thorough: bool = False

    def read(self) -> ReadImage:
        """The voxels of all channels that are known.

        Raises:
            StudyError: If the series is not there.
            DataError: If it cannot be read, or does not make one volume any more.
        """
        first, match = self._found()
        if match is None or self.rules is None:
            return read_with_gaps(first)
        volume = read_channels(match, self.rules.joining, fill_gaps=True)
        on_its_grid = match.series if self.rules.joining.reference is None else match.series[:1]
        return ReadImage(volume, gaps_note(volume.geometry.shape[2], min(one.frames for one in on_its_grid)))

    def series(self) -> tuple[Series, ...]:
        """The series, one a channel; errors as ``read``."""
        first, match = self._found()
        return (first,) if match is None else match.series

    def _found(self) -> tuple[Series, Match | None]:
        """The series that the case is named after, and the channels that go with it if the model has several."""
        inventory = sort_series(self.index.files(self.study, thorough=self.thorough), fill_gaps=True)
        first = next((one for one in inventory.series if name_of(self.key, SERIES, one.uid) == self.name), None)
        if first is None:
            raise StudyError("the series of this case is not in its study any more")
        if first.problem is not None:
            raise StudyError(first.problem)
        if self.rules is None or len(self.rules.facts.modalities) == 1:
            return first, None
        mine = [one for one in inventory.series if one.study_uid == first.study_uid]
        matches = choose(mine, self.rules, "all").matches
        return first, next((match for match in matches if match.series[0] is first), None)

    def again(self) -> StudyImage | None:
        """The same, asking every file; None if they all were asked."""
        return None if self.thorough else replace(self, thorough=True)


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return -1
