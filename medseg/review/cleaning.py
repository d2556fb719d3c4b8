"""An upload de-identified and sorted out: what can be shown, what waits for a person, what is left out and why.

All of it happens in a process of its own (``cleaning_process``), which a hostile file may crash or fill; here is what
that process does. Requests and results are data, and no result holds an identifier unless one was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath

from pydantic import BaseModel, ConfigDict

from medseg.config.deid import DeidProfile, Mode
from medseg.core.files import write_text
from medseg.core.progress import SILENT, Progress
from medseg.core.pseudonyms import ProjectKey, load_key
from medseg.deid.boxes import Box
from medseg.deid.descriptors import Vocabulary
from medseg.deid.file_names import safe_target
from medseg.deid.index import ARCHIVE, read_index
from medseg.deid.names import picture_name_of
from medseg.deid.records import SeriesRecord
from medseg.io.studies import find_series
from medseg.pipelines.deidentify import Deidentified, DeidentifyOptions, deidentify

from .cleaning_held import HeldImage, digest_of, held_back
from .cleaning_outlines import outlines_in, refers_to
from .text_pictures import fill_boxes, is_dicom

_ACCEPTED = "accepted.txt"
_PACKED = "an archive inside an archive or folder; upload it by itself"
BoxSides = tuple[int, int, int, int]


class CleanRequest(BaseModel):
    """What is to be cleaned, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    originals: Path
    """Files under numbers."""
    output: Path
    quarantine: Path
    profile: DeidProfile
    key: Path | None = None
    accepted: tuple[str, ...] = ()
    """Names of pictures that a person has looked at."""
    blank: dict[str, tuple[BoxSides, ...]] = {}
    """Boxes (top, left, bottom, right) to fill in every picture of an original, by its name."""
    identifiers: bool = False
    """Whether the result may say whose the images are."""
    most_mb: int
    """Voxels of a series that is shown."""
    workers: int = 1


class CleanImage(BaseModel):
    """A series or an image file that can be shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Pseudonym of the series; of an image file, of its content."""
    files: tuple[str, ...]
    """Below the output folder, in the order of the slices."""
    modality: str = ""
    slices: int = 1
    outlines: tuple[str, ...] = ()
    """Segmentations and structure sets that were drawn on it, below the output folder."""
    original: str = ""
    """Name of the original image file; empty for DICOM."""
    identifiers: str = ""
    """Whose it is, if that was asked for."""


class CleanResult(BaseModel):
    """What became of an upload."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: tuple[CleanImage, ...] = ()
    held: tuple[HeldImage, ...] = ()
    notes: tuple[str, ...] = ()
    """What is left out, and what a person should know."""
    accepted: tuple[str, ...] = ()
    """Names of pictures that count as looked at: those of the request, and of image files with filled boxes."""


def clean(request: CleanRequest, progress: Progress = SILENT) -> CleanResult:
    """De-identify, and sort out what came of it.

    Raises:
        InputError: If there is nothing to clean.
        OutputError: If the disk is full.
    """
    names = (*request.accepted, *_filled(request))
    accepted = request.output.with_name(_ACCEPTED)
    write_text(accepted, "\n".join(names))
    profile = request.profile.model_copy(update={"mode": Mode.RELEASE})
    options = DeidentifyOptions(
        profile=profile,
        key=request.key,
        workers=request.workers,
        quarantine=request.quarantine,
        accepted=accepted,
    )
    done = deidentify(request.originals, request.output, options, progress)
    key = load_key(request.key)
    return _Sorter(request, done, key).result().model_copy(update={"accepted": names})


def _filled(request: CleanRequest) -> Iterator[str]:
    """Fill the boxes; the names of image files as they now are."""
    for name, boxes in request.blank.items():
        path = fill_boxes(request.originals / name, [Box(*box) for box in boxes])
        if not is_dicom(path):
            yield picture_name_of(load_key(request.key), str(path.relative_to(request.originals)), [path])


class _Sorter:
    def __init__(self, request: CleanRequest, done: Deidentified, key: ProjectKey) -> None:
        self._request, self._done = request, done
        self._held = held_back(request.quarantine, request.originals, key)
        self._notes: list[str] = []
        self._images: dict[str, CleanImage] = {}
        self._outlines: dict[Path, tuple[Path, ...]] = {}
        self._key = key

    def result(self) -> CleanResult:
        """All of it."""
        persons = self._persons() if self._request.identifiers else {}
        originals = self._original_names()
        for record in self._done.report.records:
            for series in record.series:
                for image in self._images_of(series, originals):
                    named = image.model_copy(update={"identifiers": persons.get(record.unit, "")})
                    self._images.setdefault(named.name, named)
        return CleanResult(
            images=tuple(self._images.values()), held=self._held.waiting, notes=(*self._notes, *self._told())
        )

    def _images_of(self, series: SeriesRecord, originals: Mapping[str, str]) -> Iterator[CleanImage]:
        path = self._done.output / series.path
        if not path.is_dir():
            original = originals.get(series.path, "")
            yield CleanImage(name=digest_of(path), files=(series.path,), modality=series.modality, original=original)
            return
        outlines = self._outlines_in(path.parent)
        if any(path == outline.parent for outline in outlines):
            return
        missing = self._held.missing.get(series.name)
        if missing:
            self._notes.append(f"a series ({series.modality}) is left out, as {missing} of its files were held back")
        elif not self._held.waits(series.name):
            yield from self._series_in(path, series, outlines)

    def _series_in(self, path: Path, series: SeriesRecord, outlines: tuple[Path, ...]) -> Iterator[CleanImage]:
        for found in find_series(path).series:
            size = found.rows * found.columns * found.frames * 2 // 2**20
            problem = found.problem
            if problem is None and size > self._request.most_mb:
                problem = f"{size} MB of voxels, of which {self._request.most_mb} MB are shown at most"
            if problem is not None:
                self._notes.append(f"a series ({series.modality}) of {len(found.files)} files is left out: {problem}")
                continue
            drawn = [outline for outline in outlines if refers_to(outline, found.uid)]
            yield CleanImage(
                name=series.name,
                files=self._below(found.files),
                modality=series.modality,
                slices=found.frames,
                outlines=self._below(drawn),
            )

    def _below(self, paths: Iterable[Path]) -> tuple[str, ...]:
        return tuple(str(path.relative_to(self._done.output)) for path in paths)

    def _outlines_in(self, study: Path) -> tuple[Path, ...]:
        if study not in self._outlines:
            self._outlines[study] = outlines_in(study)
        return self._outlines[study]

    def _told(self) -> Iterator[str]:
        report = self._done.report
        for reason, count in (report.reasons - self._held.reasons).most_common():
            yield f"{_files(count)} held back: {reason}"
        for reason, count in report.failed.most_common():
            yield f"{_files(count)} not cleaned: {reason}"
        for reason, count in report.passed.most_common():
            yield f"{_files(count)} passed over: {_PACKED if reason == ARCHIVE else reason}"
        yield from report.notes

    def _persons(self) -> dict[str, str]:
        """Whose each study is, by its pseudonym."""
        return {
            study.name: "; ".join(sorted({f"{one.name} ({one.number})" for one in study.persons}))
            for study in read_index(self._request.originals, self._key).studies
        }

    def _original_names(self) -> dict[str, str]:
        """Names of the original image files, by what they are called in the output."""
        words = Vocabulary.load(self._request.profile.words)
        names = (path.name for path in self._request.originals.iterdir())
        return {str(safe_target(PurePath(name), self._key, words)): name for name in names}


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"
