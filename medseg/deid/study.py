"""One study through the whole chain: read, pixels, header, staging, proof; a function for a worker process."""

from __future__ import annotations

import functools
import itertools
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from medseg.config.deid import DeidProfile, KeptAttribute, Mode, TextSearch
from medseg.core.errors import MedsegError, OutputError, ReadError
from medseg.core.files import atomic_file, flush_folder, write_staged
from medseg.core.messages import redacted
from medseg.core.pseudonyms import ProjectKey
from medseg.io.dicom_file import DicomFile, encode_dicom, read_dicom

from .bands import banded
from .elements import bare
from .engine import Cleaned, Engine
from .head_series import FaceStep, face_step
from .identifiers import identifiers_of
from .identity import PatientIdentity
from .index import TWINS, Instance, Study
from .names import INSTANCE, SERIES, file_name_of, name_of
from .output import HELD, RELEASE
from .pixels import PixelOutcome, PixelResult, clean_pixels
from .proof import Search
from .records import Ledger, SeriesRecord, UnitRecord
from .removed import Removed
from .text_finder import TextFinder, load_text_finder

_MODALITY = 0x00080060
_MODALITIES = re.compile("[A-Z0-9]{2,16}")
Tick = Callable[[], None]


@dataclass(frozen=True, eq=False)
class Job:
    """What all units of a run share.

    Attributes:
        profile: How to clean.
        key: Makes the pseudonyms.
        root: Folder of the originals.
        staging: Folder for work in progress.
        settings: Stamp of the profile.
        accepted: Series, instances and pictures that a person has reviewed.
        proof: Whether to search the results.
    """

    profile: DeidProfile
    key: ProjectKey
    root: Path = field(repr=False)
    staging: Path
    settings: str
    accepted: frozenset[str] = frozenset()
    proof: bool = True


@dataclass(frozen=True, eq=False)
class StudyTask:
    """One study to clean."""

    study: Study
    stamp: str
    job: Job

    @property
    def unit(self) -> str:
        """Name of the study."""
        return self.study.name

    @property
    def files(self) -> int:
        """How many there are, copies aside."""
        return len(self.study.paths)


@dataclass(frozen=True)
class Failed:
    """A unit that could not be done, and why; nothing of it was written."""

    unit: str
    files: int
    reason: str


def clean_study(task: StudyTask, tick: Tick) -> UnitRecord | Failed:
    """Clean one study into ``<staging>/<study>/release`` and ``…/held``, from where it can be published as a whole.

    A file that cannot be cleaned, or in which the proof finds something, is held back and hinders no other.

    Args:
        task: The study.
        tick: Called for each file.

    Raises:
        OutputError: If the disk is full or the staging folder cannot be written to.
    """
    try:
        return _Run(task, tick).record()
    except OutputError:
        raise
    except Exception as error:  # noqa: BLE001 - what a hostile study does to the proof may not end the job
        return Failed(task.unit, task.files, unexpected(error))


def unexpected(error: Exception) -> str:
    """What to say of an error: its own sentence if it is one of medseg's, else only its kind."""
    return redacted(str(error)) if isinstance(error, MedsegError) else f"unexpected {type(error).__name__}"


def read_object(path: Path) -> DicomFile:
    """The DICOM object at ``path``.

    Raises:
        ReadError: If it cannot be read, or there is none any more.
    """
    file = read_dicom(path)
    if file is None:
        raise ReadError("the file is no DICOM object any more")
    return file


@functools.lru_cache(maxsize=1)
def engine_for(profile: DeidProfile, key: ProjectKey) -> Engine:
    """The engine of this process."""
    return Engine(profile, key)


def finder_for(profile: DeidProfile) -> TextFinder | None:
    """The text finder of this process; None if the profile wants none, or the extra ``ocr`` is not installed."""
    return None if profile.text_search is TextSearch.OFF else _finder()


@functools.cache
def _finder() -> TextFinder | None:
    return load_text_finder()


@dataclass(frozen=True, eq=False)
class _Staged:
    """A file that waits for the proof."""

    instance: Instance
    path: Path
    series: str
    modality: str
    is_image: bool
    attributes: dict[str, str]


class _Run:
    def __init__(self, task: StudyTask, tick: Tick) -> None:
        self._task, self._job, self._tick = task, task.job, tick
        self._engine = engine_for(self._job.profile, self._job.key)
        self._finder = finder_for(self._job.profile)
        self._folder = self._job.staging / task.unit
        shutil.rmtree(self._folder, ignore_errors=True)  # of a process that was killed
        self._ledger = Ledger()
        self._staged: list[_Staged] = []
        self._removed: dict[Removed, None] = {}
        self._kept_dates: set[str] = set()
        self._patient = ""

    def record(self) -> UnitRecord:
        """Do all of it."""
        for path in self._task.study.twins:
            self._ledger.hold(file_name_of(self._job.key, self._relative(path)), TWINS, self._relative(path))
            self._tick()
        for _, series in itertools.groupby(self._task.study.instances, key=lambda one: one.series_uid):
            self._take_series(tuple(series))
        self._prove()
        self._ledger.write(self._folder / HELD)
        flush_folder(self._folder)
        study, ledger = self._task.study, self._ledger
        return UnitRecord(
            unit=study.name,
            patient=self._patient,
            stamp=self._task.stamp,
            settings=self._job.settings,
            paths=(f"{self._patient}/{study.name}",) if self._staged else (),
            files=len(study.paths),
            released=len(self._staged),
            copies=study.copies,
            quarantined=ledger.reasons(),
            actions=ledger.actions_by_tag(),
            pixels=dict(ledger.pixels),
            notes=dict(ledger.notes),
            series=self._image_series(),
        )

    def _take_series(self, instances: tuple[Instance, ...]) -> None:
        step = self._face_step(instances)
        if step.note:
            self._ledger.notes[step.note] += 1
        for instance in instances:
            try:
                self._take(instance, step)
            except OutputError:
                raise
            except Exception as error:  # noqa: BLE001 - a hostile file may raise anything
                self._ledger.hold(self._name(instance), unexpected(error), self._relative(instance.path))
            self._tick()

    def _face_step(self, instances: tuple[Instance, ...]) -> FaceStep:
        try:
            return face_step([one.path for one in instances], self._job.profile)
        except Exception as error:  # noqa: BLE001 - a hostile series may raise anything
            return FaceStep(problem=unexpected(error))

    def _take(self, instance: Instance, step: FaceStep) -> None:
        file = step.files.pop(instance.path, None) or read_object(instance.path)
        attributes = banded(file.dataset, _in_order(self._job.profile))
        series = name_of(self._job.key, SERIES, instance.series_uid)
        reviewed = bool({series, self._name(instance)} & self._job.accepted)
        file, outcome = clean_pixels(file, self._job.profile.text_search, self._finder, reviewed=reviewed)
        cleaned = self._engine.clean(file, self._identity(), outcome.claims | step.claims, proof=self._is_proven())
        self._note(cleaned, outcome)
        problem = step.problem or (outcome.reason if outcome.result is PixelResult.DOUBTFUL else "")
        if problem:
            self._hold(instance, problem, cleaned.file, outcome)
            return
        path = self._folder / RELEASE / cleaned.patient / cleaned.study / cleaned.series / f"{cleaned.instance}.dcm"
        write_staged(path, encode_dicom(cleaned.file.dataset, cleaned.file.syntax))
        modality = bare(cleaned.file.dataset, _MODALITY)
        modality = modality if _MODALITIES.fullmatch(modality) else "OT"
        is_image = outcome.result is not PixelResult.NO_PIXELS
        self._staged.append(_Staged(instance, path, cleaned.series, modality, is_image, attributes))

    def _note(self, cleaned: Cleaned, outcome: PixelOutcome) -> None:
        self._patient = cleaned.patient
        self._ledger.pixels[outcome.result.value] += 1
        for (tag, action), count in cleaned.counts.items():
            self._ledger.actions[tag, action.value] += count
        self._removed.update(dict.fromkeys(cleaned.removed))
        self._kept_dates |= cleaned.kept_dates

    def _hold(self, instance: Instance, reason: str, file: DicomFile, outcome: PixelOutcome) -> None:
        """Write the object and a picture of it for the person who has to decide."""
        name = self._name(instance)
        self._ledger.hold(name, reason, self._relative(instance.path))
        write_staged(self._folder / HELD / f"{name}.dcm", encode_dicom(file.dataset, file.syntax))
        if outcome.preview is not None:
            with atomic_file(self._folder / HELD / f"{name}.png") as partial:
                Image.fromarray(outcome.preview).save(partial, format="PNG")

    def _prove(self) -> None:
        """Search the bytes of all that is staged for all that was taken out, and hold back what still holds some."""
        if not self._is_proven():
            return
        engine, dates = self._engine, frozenset(self._kept_dates)
        identifiers = identifiers_of(self._removed, engine.vocabulary, dates, engine.policy.options)
        search = Search(identifiers)
        passed = []
        for staged in self._staged:
            hits = search.hits(staged.path.read_bytes())
            if hits:
                self._hold_staged(staged, str(hits[0]))
                continue
            tells = {name for name, value in staged.attributes.items() if search.hits(value.encode())}
            passed.append(replace(staged, attributes={**staged.attributes, **dict.fromkeys(tells, "")}))
        self._staged = passed

    def _hold_staged(self, staged: _Staged, reason: str) -> None:
        self._ledger.hold(self._name(staged.instance), reason, self._relative(staged.instance.path))
        (self._folder / HELD).mkdir(exist_ok=True)
        staged.path.replace(self._folder / HELD / staged.path.name)
        if not any(staged.path.parent.iterdir()):
            staged.path.parent.rmdir()

    def _image_series(self) -> tuple[SeriesRecord, ...]:
        first = {one.series: one for one in reversed(self._staged) if one.is_image}
        return tuple(
            SeriesRecord(
                name=name,
                path=f"{self._patient}/{self._task.study.name}/{name}",
                modality=one.modality,
                attributes=one.attributes,
            )
            for name, one in sorted(first.items())
        )

    def _is_proven(self) -> bool:
        """In return mode objects name the patient on purpose, so there is nothing to search for."""
        return self._job.proof and self._job.profile.mode is Mode.RELEASE

    def _identity(self) -> PatientIdentity:
        if self._task.study.identity is None:
            raise ValueError("studies of several patients are not cleaned")
        return self._task.study.identity

    def _name(self, instance: Instance) -> str:
        return name_of(self._job.key, INSTANCE, instance.uid)

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self._job.root)) if path != self._job.root else path.name


def _in_order(profile: DeidProfile) -> tuple[KeptAttribute, ...]:
    return tuple(one for one in KeptAttribute if one in profile.keep_in_manifest)
