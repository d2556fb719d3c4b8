"""``medseg predict``: images become label maps on their own grids, measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL.Image import Image

from medseg.core.errors import InputError, MedsegError, OutputError
from medseg.core.files import atomic_file, write_text
from medseg.core.geometry import LengthUnit
from medseg.core.messages import redacted
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import LabelMap, Labels, Volume
from medseg.data.joining import Joining
from medseg.inference.agreement import disputes
from medseg.inference.bundle import Bundle, read_bundle
from medseg.inference.inputs import Candidate, Finder
from medseg.inference.outcomes import Done, Failed, Outcome, PredictionRun, Skipped
from medseg.inference.predictor import Predictor
from medseg.inference.restore import Prediction
from medseg.inference.settings import PredictionSettings
from medseg.inference.suitability import missing_channels, wrong_grid
from medseg.io.formats import write_labels, write_volume
from medseg.render.preview import preview

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
    that is alone and was named is raised.

    Args:
        bundle: Folder of the model.
        inputs: Image files, DICOM folders, folders of either, manifests.
        output: Folder for the results.
        options: What varies.
        progress: Told how far it is, and what was skipped.

    Raises:
        BundleError: If the model cannot be read.
        InputError: If an input does not exist, holds no image, or two would get one name.
        OutputError: If a result cannot be written; what there is of that case is removed.
    """
    options = options or PredictOptions()
    model = read_bundle(bundle)
    candidates = _candidates(model, inputs, options, progress)
    _check_names([one for one in candidates if one.unfit is None or one.is_named], output, options)
    _check_folder(output)
    predictor = Predictor(model, replace(options.settings, agreement=True))
    job = _Job(model, predictor, options, output, progress)
    outcomes: list[Outcome] = []
    for number, candidate in enumerate(candidates, start=1):
        outcomes.append(_attempt(job, candidate, (number, len(candidates))))
        run = PredictionRun(tuple(outcomes), model.scheme.targets)
        write_text(output / _TABLE, run.csv())
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
    """Refuse two outputs of one name, also where capitals do not count, and outputs that would replace an input."""
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


def _check_folder(output: Path) -> None:
    """Refuse an output folder that cannot be written to, before the work is done."""
    there = next(path for path in (output.absolute(), *output.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"output {str(output)!r} cannot be a folder: {there.name!r} is a file")
    if not os.access(there, os.W_OK):
        raise OutputError(f"cannot write to {str(output)!r}: no permission")


def _attempt(job: _Job, candidate: Candidate, place: tuple[int, int]) -> Outcome:
    """What becomes of a case; the error of a case that is alone and was named is raised, since it hinders no other."""
    number, total = place
    case, shown = candidate.name, candidate.shown
    try:
        if candidate.unfit is not None:
            if not candidate.is_named:
                job.progress.note(f"{shown}: skipped, {candidate.unfit}")
                return Skipped(case, shown, candidate.unfit)
            raise InputError(f"{shown}: {candidate.unfit}")  # noqa: TRY301 - joins the errors of reading
        return _predicted(job, candidate, "predict" if total == 1 else f"predict {number} of {total}")
    except OutputError:
        raise
    except Exception as error:
        if total == 1 and candidate.is_named:
            raise
        known = isinstance(error, MedsegError)
        reason = str(error) if known else f"unexpected {type(error).__name__}; predict it alone to see the details"
        job.progress.note(f"{shown}: failed, {reason}")
        return Failed(case, shown, redacted(reason))


def _predicted(job: _Job, candidate: Candidate, label: str) -> Done:
    volume = candidate.load()
    unusual = wrong_grid(volume.geometry, job.model.facts)
    missing = missing_channels(volume.channels, job.model.facts)
    odd = (missing, unusual and f"although {unusual}")
    note = f"predicted {', '.join(filter(None, odd))}" if any(odd) else ""
    if note:
        job.progress.note(f"{candidate.shown}: {note}")
    prediction = job.predictor.predict(volume, job.progress, label)
    disputed = disputes(prediction, job.model.scheme)
    for dispute in disputed:
        job.progress.note(f"{candidate.shown}: {dispute}")
    path = _write(job, candidate.name, volume, prediction)
    told = "; ".join(filter(None, (note, *disputed)))
    return Done(candidate.name, candidate.shown, path, _volumes_ml(job, prediction.labels), told)


def _write(job: _Job, name: str, volume: Volume, prediction: Prediction) -> Path:
    """Write all outputs of a case, the labels last, or none."""
    folder, geometry, scheme = job.output, volume.geometry, job.model.scheme
    is_picture = geometry.unit is LengthUnit.PIXEL and scheme.is_exclusive
    outputs: dict[Path, Callable[[Path], None]] = {}
    if prediction.probabilities is not None:
        maps = Volume(prediction.probabilities, geometry, scheme.targets)
        outputs[folder / f"{name}_probabilities.nii.gz"] = partial(write_volume, volume=maps)
    if prediction.entropy is not None:
        entropy = Volume(prediction.entropy[np.newaxis], geometry)
        outputs[folder / f"{name}_entropy.nii.gz"] = partial(write_volume, volume=entropy)
    if job.options.preview:
        picture = preview(volume, prediction.labels, scheme)
        outputs[folder / f"{name}_preview.png"] = partial(_write_picture, picture=picture)
    labels = folder / f"{name}{'.png' if is_picture else '.nii.gz'}"
    outputs[labels] = partial(write_labels, labels=prediction.labels)
    _write_all(outputs)
    return labels


def _write_all(outputs: Mapping[Path, Callable[[Path], None]]) -> None:
    written: list[Path] = []
    try:
        for path, write in outputs.items():
            write(path)
            written.append(path)
    except BaseException:
        for path in written:
            path.unlink()
        raise


def _write_picture(path: Path, picture: Image) -> None:
    with atomic_file(path) as partial_path:
        picture.save(partial_path, format="PNG")


def _volumes_ml(job: _Job, labels: Labels) -> dict[str, float | None]:
    scheme, geometry = job.model.scheme, labels.geometry
    if geometry.unit is LengthUnit.PIXEL:
        return dict.fromkeys(scheme.targets)
    if isinstance(labels, LabelMap):
        counts = np.zeros(max(scheme.values) + 1, np.int64)
        for plane in labels.array:  # bincount makes 64-bit numbers of what it counts
            counts += np.bincount(plane.reshape(-1), minlength=len(counts))
        voxels = [int(counts[value]) for value in scheme.values]
    else:
        voxels = [int(mask.sum()) for mask in labels.array]
    return {name: n * geometry.voxel_volume / 1000 for name, n in zip(scheme.targets, voxels, strict=True)}
