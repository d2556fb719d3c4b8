"""``medseg predict``: images become label maps on their own grids, measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from medseg.core.errors import InputError, MedsegError, OutputError
from medseg.core.files import write_text
from medseg.core.messages import redacted
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import Volume
from medseg.data.joining import Joining
from medseg.inference.agreement import disputes
from medseg.inference.bundle import Bundle, read_bundle
from medseg.inference.inputs import Candidate, Finder
from medseg.inference.outcomes import Done, Failed, Outcome, PredictionRun, Skipped
from medseg.inference.predictor import Predictor
from medseg.inference.restore import Prediction
from medseg.inference.settings import PredictionSettings
from medseg.inference.suitability import missing_channels, wrong_grid
from medseg.render.preview import preview

from .predicted_files import volumes_ml, write_prediction

T = TypeVar("T")

_TABLE = "predictions.csv"


@dataclass(frozen=True)
class PredictOptions:
    """What varies between runs.

    Attributes:
        settings: How the model predicts, and which maps are written beside the labels.
        channels: A file for each channel of the one image to predict, instead of inputs.
        all_series: Predict DICOM series that do not look like the training images too.
        fill_gaps: Interpolate missing slices of DICOM series.
        preview: Whether to draw a picture of each result.
        key: File of the project key that names DICOM outputs; None for the user's own.
    """

    settings: PredictionSettings = field(default_factory=PredictionSettings)
    channels: Mapping[str, Path] = field(default_factory=dict)
    all_series: bool = False
    fill_gaps: bool = False
    preview: bool = False
    key: Path | None = None

    @property
    def endings(self) -> tuple[str, ...]:
        """What is added to a case's name for each of its outputs."""
        extras = {
            "_probabilities": self.settings.probabilities,
            "_entropy": self.settings.entropy,
            "_preview": self.preview,
        }
        return ("", *(ending for ending, wanted in extras.items() if wanted))


def predict(
    bundle: Path,
    inputs: Sequence[Path],
    output: Path,
    options: PredictOptions | None = None,
    progress: Progress = SILENT,
) -> PredictionRun:
    """Predict every image at the inputs that fits the model.

    Writes ``<name>.nii.gz`` for each (``.png`` for pictures) on the image's own grid: files keep their name, DICOM
    series are named by a pseudonym, cases of a manifest by their id. Beside it, where asked for, lie
    ``<name>_probabilities.nii.gz`` (a volume a target), ``<name>_entropy.nii.gz`` and ``<name>_preview.png``.
    ``predictions.csv`` tells what became of each. A case that fails does not stop the others; but the error of an image
    that is alone and was named is raised. While one of several is predicted, the one before is written and the next one
    read, so that two of them lie in memory.

    Args:
        bundle: Folder of the model.
        inputs: Image files, DICOM folders, folders of either, manifests.
        output: Folder for the results.
        options: What varies.
        progress: Told how far it is, and what was skipped.

    Raises:
        BundleError: If the model cannot be read.
        InputError: If an input does not exist, holds no image, two would get one name, or a result would replace a file
            that no prediction wrote.
        OutputError: If a result cannot be written; what there is of that case is removed.
    """
    options = options or PredictOptions()
    model = read_bundle(bundle)
    candidates = _candidates(model, inputs, options, progress)
    _check_names([one for one in candidates if one.unfit is None or one.is_named], output, options)
    _check_folder(output)
    predictor = Predictor(model, replace(options.settings, agreement=True))
    job = _Job(model, predictor, options, output, progress)
    run = _alone(job, candidates[0]) if len(candidates) == 1 else _Line(job, candidates).run()
    progress.finish()
    return run


@dataclass(frozen=True, eq=False)
class _Job:
    model: Bundle
    predictor: Predictor
    options: PredictOptions
    output: Path
    progress: Progress


def _candidates(
    model: Bundle, inputs: Sequence[Path], options: PredictOptions, progress: Progress
) -> tuple[Candidate, ...]:
    joining = Joining.of(model.config)
    finder = Finder(model.facts, options.key, options.all_series, options.fill_gaps, progress, joining)
    if options.channels and inputs:
        raise InputError("give either inputs or channels: the channels together are one image")
    if options.channels:
        return (finder.join(options.channels),)
    if not inputs:
        raise InputError("nothing to predict; name an image, a DICOM folder, a folder of either, or a manifest")
    return finder.find(inputs)


def _check_names(candidates: Sequence[Candidate], output: Path, options: PredictOptions) -> None:
    """Refuse two outputs of one name, also where capitals do not count, and outputs that would replace other files."""
    stems = [(one, one.name + ending) for one in candidates for ending in options.endings]
    owners: dict[str, Candidate] = {}
    for one, stem in stems:
        other = owners.setdefault(stem.casefold(), one)
        if other is not one:
            raise InputError(
                f"{other.shown!r} and {one.shown!r} would get one output name; predict them into two folders"
            )
    made = [f"{stem}{suffix}" for _, stem in stems for suffix in (".nii.gz", ".png")]
    files = {path.resolve() for one in candidates for path in one.files}
    if files & {output.resolve() / name for name in (*made, _TABLE)}:
        raise InputError(f"the results would replace their inputs in {str(output)!r}; name another output folder")
    there = next((name for name in made if (output / name).exists()), None)
    if there is not None and not (output / _TABLE).exists():
        raise InputError(
            f"{str(output)!r} holds {there!r}, but no {_TABLE}, so that is no earlier prediction; name another folder"
        )


def _check_folder(output: Path) -> None:
    """Refuse an output folder that cannot be written to, before the work is done."""
    there = next(path for path in (output.absolute(), *output.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"output {str(output)!r} cannot be a folder: {there.name!r} is a file")
    if not os.access(there, os.W_OK):
        raise OutputError(f"cannot write to {str(output)!r}: no permission")


@dataclass(frozen=True, eq=False)
class _Predicted:
    """A case that only has to be written.

    Attributes:
        candidate: What it is.
        volume: The image, if it is still needed.
        prediction: Its labels and maps.
        note: What its row says of it.
    """

    candidate: Candidate
    volume: Volume | None
    prediction: Prediction
    note: str


class _Line:
    """Cases one after the other, with a thread beside the one that computes.

    That thread does all reading and writing, in the order in which it is asked to: when a case was read and begins to
    be computed, the case before is written first, and only then the next one read. Thus there are never more than two.

    Args:
        job: What all cases have in common.
        candidates: Two or more, or none.
    """

    def __init__(self, job: _Job, candidates: Sequence[Candidate]) -> None:
        self._job, self._candidates = job, candidates
        self._beside = ThreadPoolExecutor(1)
        self._unread = iter([one for one in candidates if one.unfit is None])
        self._ahead: Future[Volume] | None = None
        self._behind: Future[list[str]] | None = None
        self._outcomes: list[Outcome] = []

    def run(self) -> PredictionRun:
        """What became of each; a case that was predicted is written whatever happens to the next one.

        Raises:
            OutputError: If a result cannot be written; those that come after it are not.
        """
        try:
            self._read_next()
            for number, candidate in enumerate(self._candidates, start=1):
                self._do(candidate, f"predict {number} of {len(self._candidates)}")
            self._await_written()
        finally:
            if self._ahead is not None:
                self._ahead.cancel()
            self._beside.shutdown()
        return PredictionRun(tuple(self._outcomes), self._job.predictor.scheme.targets)

    def _do(self, candidate: Candidate, label: str) -> None:
        made = _guarded(candidate, lambda: self._predicted(candidate, label), self._job.progress.note)
        self._await_written()
        self._behind = self._beside.submit(self._record, candidate, made)

    def _predicted(self, candidate: Candidate, label: str) -> _Predicted | Skipped:
        return _skipped(self._job, candidate) or _computed(self._job, candidate, self._volume(), label)

    def _volume(self) -> Volume:
        """The volume that was read ahead; the next one is asked for."""
        ahead = self._ahead
        assert ahead is not None  # noqa: S101 - as many are read as are asked for
        try:
            return ahead.result()
        finally:
            self._read_next()

    def _read_next(self) -> None:
        following = next(self._unread, None)
        self._ahead = None if following is None else self._beside.submit(following.load)

    def _record(self, candidate: Candidate, made: _Predicted | Skipped | Failed) -> list[str]:
        """Write what was predicted, and the table; what there is to tell of it."""
        notes: list[str] = []
        if isinstance(made, _Predicted):
            self._outcomes.append(_guarded(candidate, partial(_finished, self._job, made), notes.append))
        else:
            self._outcomes.append(made)
        _write_table(self._job, self._outcomes)
        return notes

    def _await_written(self) -> None:
        if self._behind is not None:
            for note in self._behind.result():
                self._job.progress.note(note)


def _alone(job: _Job, candidate: Candidate) -> PredictionRun:
    """The run of one case; its error is raised if it was named, since it hinders no other."""

    def attempt() -> Outcome:
        skipped = _skipped(job, candidate)
        return skipped or _finished(job, _computed(job, candidate, candidate.load(), "predict"))

    outcome = attempt() if candidate.is_named else _guarded(candidate, attempt, job.progress.note)
    return _write_table(job, [outcome])


def _write_table(job: _Job, outcomes: Sequence[Outcome]) -> PredictionRun:
    run = PredictionRun(tuple(outcomes), job.predictor.scheme.targets)
    write_text(job.output / _TABLE, run.csv())
    return run


def _guarded(candidate: Candidate, work: Callable[[], T], note: Callable[[str], None]) -> T | Failed:
    """What the work gives, or why it failed; that nothing can be written is raised."""
    try:
        return work()
    except OutputError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a case does, the others go on
        known = isinstance(error, MedsegError)
        reason = str(error) if known else f"unexpected {type(error).__name__}; predict it alone to see the details"
        note(f"{candidate.shown}: failed, {reason}")
        return Failed(candidate.name, candidate.shown, redacted(reason))


def _skipped(job: _Job, candidate: Candidate) -> Skipped | None:
    """The outcome of a case that does not fit the model and was not asked for by name; None if it fits.

    Raises:
        InputError: If it does not fit, but was named.
    """
    if candidate.unfit is None:
        return None
    if candidate.is_named:
        raise InputError(f"{candidate.shown}: {candidate.unfit}")
    job.progress.note(f"{candidate.shown}: skipped, {candidate.unfit}")
    return Skipped(candidate.name, candidate.shown, candidate.unfit)


def _computed(job: _Job, candidate: Candidate, volume: Volume, label: str) -> _Predicted:
    unusual = wrong_grid(volume.geometry, job.model.facts)
    missing = missing_channels(volume.channels, job.model.facts)
    odd = (missing, unusual and f"although {unusual}")
    note = f"predicted {', '.join(filter(None, odd))}" if any(odd) else ""
    if note:
        job.progress.note(f"{candidate.shown}: {note}")
    prediction = job.predictor.predict(volume, job.progress, label)
    disputed = (*prediction.notes, *disputes(prediction, job.predictor.scheme))
    for dispute in disputed:
        job.progress.note(f"{candidate.shown}: {dispute}")
    kept = volume if job.options.preview else None
    return _Predicted(candidate, kept, prediction, "; ".join(filter(None, (note, *disputed))))


def _finished(job: _Job, predicted: _Predicted) -> Done:
    """Write all outputs of a case, the labels last, or none."""
    name, scheme = predicted.candidate.name, job.predictor.scheme
    labels, volume = predicted.prediction.labels, predicted.volume
    picture = None if volume is None else preview(volume, labels, scheme)
    path = write_prediction(job.output / name, predicted.prediction, scheme, picture)
    volumes = volumes_ml(labels, scheme)
    return Done(name, predicted.candidate.shown, path, volumes, predicted.note)
