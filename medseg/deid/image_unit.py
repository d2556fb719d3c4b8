"""Images that are not DICOM, and the files beside them, through the chain; a function for a worker process."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePath

from PIL import Image

from medseg.config.deid import Option
from medseg.core.errors import DataError, DeidError, InputError, OutputError, ReadError
from medseg.core.files import atomic_file
from medseg.core.messages import redacted
from medseg.io.formats import image_stem, read_volume, write_volume

from .data_sets import data_set_of, patient_of
from .faces import deface_volume
from .file_names import safe_target, subject_label, taken_from
from .head_series import NOT_TAKEN_OUT, UNTOUCHED_IMAGE
from .identifiers import identifiers_of
from .image_cleaned import ImageCleaned
from .image_files import clean_image, image_suffix, read_with
from .index import Index
from .names import file_name_of, picture_name_of
from .output import HELD, RELEASE
from .picture_search import search_image
from .pixels import PixelResult
from .proof import Search
from .records import Ledger, SeriesRecord, UnitRecord
from .removed import Removed
from .sidecar_rules import SidecarRules
from .sidecars import SidecarSkipped, clean_sidecar
from .study import Failed, Job, Tick, engine_for, finder_for, unexpected

_UNIT = "images"
_CHANNEL = re.compile(r"_00[01]\d$")
_DIGITS = re.compile("[0-9a-f]{16}")
_LABEL_FOLDERS = re.compile("labels.*|masks|derivatives")
_DESCRIPTION = "dataset_description.json"


@dataclass(frozen=True, eq=False)
class ImageTask:
    """Images that belong together and the files beside them: a subject of BIDS, or the files of one name.

    Attributes:
        unit: Pseudonym of the whole.
        patient: Pseudonym of the subject; empty if the names tell none.
        images: Image files.
        sidecars: Files beside them.
        job: What all units share.
        stamp: Changes with the input.
    """

    unit: str
    patient: str
    images: tuple[Path, ...] = field(repr=False)
    sidecars: tuple[Path, ...] = field(repr=False)
    job: Job
    stamp: str = ""

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return (*self.images, *self.sidecars)

    @property
    def sources(self) -> tuple[Path, ...]:
        """All files that the result depends on: those, and the second halves of pairs."""
        return (*self.paths, *chain.from_iterable(map(read_with, self.images)))

    @property
    def files(self) -> int:
        """How many there are."""
        return len(self.paths)

    def with_stamp(self, stamp: str) -> ImageTask:
        """The same with a stamp."""
        return replace(self, stamp=stamp)


def image_tasks(index: Index, job: Job) -> list[ImageTask]:
    """The units that the images of an index make, in a fixed order."""
    groups: dict[tuple[str, ...], tuple[list[Path], list[Path]]] = {}
    for number, paths in enumerate((index.images, index.sidecars)):
        for path in paths:
            groups.setdefault(_group(_relative(job, path), job), ([], []))[number].append(path)
    return [
        ImageTask(job.key.name(_UNIT, "/".join(group)), _patient(group, job), tuple(images), tuple(sidecars), job)
        for group, (images, sidecars) in sorted(groups.items())
    ]


def clean_images(task: ImageTask, tick: Tick) -> UnitRecord | Failed:
    """Clean the files of one unit into ``<staging>/<unit>/release`` and ``…/held``.

    A file that cannot be cleaned, or in which the proof finds something, is held back and hinders no other.

    Args:
        task: The files.
        tick: Called for each.

    Raises:
        OutputError: If the disk is full or the staging folder cannot be written to.
    """
    try:
        return _Run(task).record(tick)
    except OutputError:
        raise
    except Exception as error:  # noqa: BLE001 - what a hostile file does to the proof may not end the job
        return Failed(task.unit, task.files, unexpected(error))


@dataclass(frozen=True, eq=False)
class _Staged:
    """A file that waits for the proof."""

    source: Path
    target: PurePath
    is_image: bool


class _Run:
    def __init__(self, task: ImageTask) -> None:
        self._task, self._job = task, task.job
        engine = engine_for(self._job.profile, self._job.key)
        self._vocabulary, self._options = engine.vocabulary, engine.policy.options
        self._folder = self._job.staging / task.unit
        shutil.rmtree(self._folder, ignore_errors=True)  # of a process that was killed
        self._ledger = Ledger()
        self._staged: list[_Staged] = []
        self._taken: dict[Removed, None] = {}

    def record(self, tick: Tick) -> UnitRecord:
        """Do all of it."""
        for path in self._task.paths:
            try:
                self._take(path)
            except OutputError:
                raise
            except Exception as error:  # noqa: BLE001 - a hostile file may raise anything
                self._hold(path, unexpected(error))
            tick()
        if self._job.proof:
            self._prove()
        self._ledger.write(self._folder / HELD)
        return UnitRecord(
            unit=self._task.unit,
            patient=self._task.patient,
            stamp=self._task.stamp,
            settings=self._job.settings,
            paths=tuple(sorted(str(one.target) for one in self._staged)),
            files=self._task.files,
            released=len(self._staged),
            quarantined=self._ledger.reasons(),
            pixels=dict(self._ledger.pixels),
            notes=dict(self._ledger.notes),
            passed=dict(self._ledger.passed),
            series=tuple(_series(one.target) for one in self._staged if one.is_image and not _is_label(one.target)),
        )

    def _take(self, path: Path) -> None:
        is_image = path in self._task.images
        relative = PurePath(_relative(self._job, path))
        suffix = image_suffix(path) if is_image else None
        target = safe_target(relative, self._job.key, self._vocabulary, suffix)
        staged = self._folder / RELEASE / target
        if staged.exists():
            raise InputError("another file would get the same name")
        if is_image:
            cleaned = clean_image(path, staged, self._vocabulary.clean)
            self._note(cleaned.taken)
            self._look(path, staged, cleaned)
        else:
            outcome = clean_sidecar(path, staged, self._rules())
            if isinstance(outcome, SidecarSkipped):
                self._ledger.passed[outcome.reason] += 1
                return
            self._note(outcome.taken)
        self._note(taken_from(relative, target))
        self._staged.append(_Staged(path, target, is_image))

    def _look(self, source: Path, staged: Path, cleaned: ImageCleaned) -> None:
        """Refuse an image that may show a text or a face which nobody has taken out."""
        try:
            self._look_for_text(source, staged, cleaned)
            if cleaned.may_show_face:
                self._look_for_face(staged)
        except DeidError:
            held = self._folder / HELD / f"{self._pseudonym(source)}{staged.name.removeprefix(image_stem(staged))}"
            held.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(held)
            raise

    def _look_for_text(self, source: Path, staged: Path, cleaned: ImageCleaned) -> None:
        profile = self._job.profile
        is_reviewed = bool(self._job.accepted) and self._pseudonym(source) in self._job.accepted
        found = search_image(
            staged, profile.text_search, finder_for(profile), is_suspect=cleaned.may_show_text, is_reviewed=is_reviewed
        )
        self._ledger.pixels[found.result.value] += 1
        if found.result is PixelResult.DOUBTFUL:
            if found.preview is not None:
                with atomic_file(self._folder / HELD / f"{self._pseudonym(source)}-preview.png") as partial:
                    Image.fromarray(found.preview).save(partial, format="PNG")
            raise DeidError(found.reason)

    def _look_for_face(self, staged: Path) -> None:
        profile = self._job.profile
        if Option.CLEAN_VISUAL_FEATURES in profile.options:
            try:
                write_volume(staged, deface_volume(read_volume(staged)))
            except (DeidError, DataError) as error:
                raise DeidError(f"{NOT_TAKEN_OUT}: {redacted(str(error))}") from error
        elif profile.quarantine_faces == "quarantine":
            raise DeidError(UNTOUCHED_IMAGE)
        else:
            self._ledger.notes[UNTOUCHED_IMAGE] += 1

    def _prove(self) -> None:
        """Search names and bytes of all that is staged for all that was taken out."""
        search = Search(identifiers_of(self._taken, self._vocabulary, options=self._options))
        passed = []
        for one in self._staged:
            staged = self._folder / RELEASE / one.target
            hits = [*search.hits(_DIGITS.sub("", str(one.target)).encode()), *search.hits(staged.read_bytes())]
            if hits:
                self._hold(one.source, str(hits[0]))
                held = self._folder / HELD / f"{self._pseudonym(one.source)}{staged.suffix}"
                held.parent.mkdir(parents=True, exist_ok=True)
                staged.replace(held)
            else:
                passed.append(one)
        self._staged = passed

    def _rules(self) -> SidecarRules:
        options = self._options
        days = None
        if Option.RETAIN_FULL_DATES in options:
            days = 0
        elif Option.RETAIN_MODIFIED_DATES in options:
            days = self._job.key.days(self._task.patient)
        keeps = Option.RETAIN_PATIENT_CHARACTERISTICS in options
        return SidecarRules(self._job.key, self._vocabulary, days, keeps)

    def _hold(self, source: Path, reason: str) -> None:
        self._ledger.hold(self._pseudonym(source), reason, self._name(source))

    def _pseudonym(self, source: Path) -> str:
        """Of a file in the quarantine; that of an image tells its content, for a person accepts what she has seen."""
        if source in self._task.images:
            with contextlib.suppress(ReadError):
                return picture_name_of(self._job.key, self._name(source), (source, *read_with(source)))
        return file_name_of(self._job.key, self._name(source))

    def _name(self, source: Path) -> str:
        return _relative(self._job, source)

    def _note(self, taken: Iterable[Removed]) -> None:
        self._taken.update(dict.fromkeys(taken))


def _group(relative: str, job: Job) -> tuple[str, ...]:
    """What a file belongs to: the subject of a data set that its path names, or folder and name without endings."""
    path = PurePath(relative)
    label = subject_label(path)
    if label is not None:
        return ("subject", *data_set_of(path, job.key), label)
    if path.name == _DESCRIPTION or path.name.startswith("participants"):
        return ("data set", str(path.parent))
    stem = image_stem(Path(path.name))
    return ("file", str(path.parent), _CHANNEL.sub("", stem if stem != path.name else path.stem))


def _patient(group: tuple[str, ...], job: Job) -> str:
    return patient_of(group[1:-1], group[-1], job.key) if group[0] == "subject" else ""


def _series(target: PurePath) -> SeriesRecord:
    return SeriesRecord(name=image_stem(Path(target)), path=str(target), modality="")


def _is_label(target: PurePath) -> bool:
    in_folder = any(_LABEL_FOLDERS.fullmatch(part) for part in target.parts[:-1])
    return in_folder or image_stem(Path(target)).endswith(("_dseg", "_mask", "_probseg"))


def _relative(job: Job, path: Path) -> str:
    return str(path.relative_to(job.root)) if path != job.root else path.name
