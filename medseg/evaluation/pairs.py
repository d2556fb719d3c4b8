"""Which prediction goes with which reference."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medseg.core.case import CaseId
from medseg.core.errors import InputError
from medseg.core.files import confined, existing
from medseg.data.dataset import CaseFiles, Dataset
from medseg.data.documents import read_text
from medseg.io.formats import SUFFIXES, image_stem
from medseg.io.label_files import OutlineKind, outline_kind

PREDICTIONS = "predictions.csv"
_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix not in (".jpg", ".jpeg", ".dcm"))
PROBABILITIES = "_probabilities"
_BESIDE = (PROBABILITIES, "_entropy", "_preview")
_MAP_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
_SHOWN = 3


@dataclass(frozen=True)
class Pair:
    """A prediction and its reference.

    Attributes:
        case: Name of the case.
        patient: Whose it is; the case itself where nobody says.
        predicted: File of the prediction.
        reference: File of the reference.
        files: The case in its data set, if it comes from one; there the images are.
        probabilities: File of the model's probabilities, a map a target, that lies beside the prediction.
    """

    case: CaseId
    patient: str
    predicted: Path
    reference: Path
    files: CaseFiles | None = None
    probabilities: Path | None = None


@dataclass(frozen=True)
class Matching:
    """All pairs, and what has no partner.

    Attributes:
        pairs: In the order of the references.
        without_reference: Predictions that no reference goes with.
        without_prediction: References that no prediction goes with, and why there is none.
    """

    pairs: tuple[Pair, ...]
    without_reference: tuple[CaseId, ...] = ()
    without_prediction: Mapping[CaseId, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Reference:
    label: Path
    patient: str
    files: CaseFiles | None = None


@dataclass(frozen=True)
class _Predicted:
    """What a model made of a case: a file, or the reason why there is none; and the case's names, the surest first."""

    names: tuple[str, ...]
    path: Path | None
    reason: str = ""


def match(predicted: Path, reference: Path | Dataset) -> Matching:
    """Pairs by name: by the case in ``predictions.csv`` if there is one, else by file name without its suffix.

    Args:
        predicted: A file, or a folder of them.
        reference: A data set, a folder of label maps, or one file. Two files are a pair whatever their names.

    Raises:
        InputError: If a path does not exist, a folder holds two files of one name, or nothing matches.
    """
    existing(predicted)
    if isinstance(reference, Path) and reference.is_file() and predicted.is_file():
        case = CaseId(image_stem(reference))
        return Matching((Pair(case, case, predicted, reference, probabilities=_probabilities(predicted)),))
    candidates = _references(reference)
    pairs: dict[str, Pair] = {}
    reasons: dict[str, str] = {}
    alone = []
    for one in _predictions(predicted):
        name = next((name for name in one.names if name in candidates), None)
        if one.path is None:
            reasons |= dict.fromkeys(one.names, one.reason)
        elif name is None:
            alone.append(CaseId(one.names[0]))
        elif name in pairs:
            raise InputError(f"two predictions belong to case {name!r}; keep one of them")
        else:
            found, maps = candidates[name], _probabilities(one.path)
            pairs[name] = Pair(CaseId(name), found.patient, one.path, found.label, found.files, maps)
    if not pairs:
        raise InputError(_no_match(alone, candidates))
    rest = [] if predicted.is_file() else [name for name in candidates if name not in pairs]
    missing = {CaseId(name): reasons.get(name, "no prediction of this name") for name in rest}
    return Matching(tuple(pairs[name] for name in candidates if name in pairs), tuple(alone), missing)


def label_files(folder: Path) -> dict[str, Path]:
    """Files of a folder that may hold a label map, by name without suffix.

    Probabilities, entropy and pictures that `medseg predict` lays beside a prediction are none.

    Raises:
        InputError: If two of them have one name.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file() or not _may_hold_labels(path):
            continue
        name = image_stem(path)
        if name in files:
            raise InputError(f"{folder.name!r} holds two files for {name!r}: {files[name].name} and {path.name}")
        files[name] = path
    return {name: path for name, path in files.items() if not any(_is_beside(name, end, files) for end in _BESIDE)}


def _is_beside(name: str, ending: str, files: Mapping[str, Path]) -> bool:
    return name.endswith(ending) and name.removesuffix(ending) in files


def _probabilities(predicted: Path) -> Path | None:
    """The file of probabilities beside a prediction, as `medseg predict` names it."""
    stem = image_stem(predicted) + PROBABILITIES
    named = (predicted.with_name(stem + suffix) for suffix in _MAP_SUFFIXES)
    return next((path for path in named if path.is_file()), None)


def _may_hold_labels(path: Path) -> bool:
    """By suffix; by content only for DICOM, where images and outlines have one suffix."""
    if path.suffix.lower() == ".dcm":
        return outline_kind(path)[0] is not OutlineKind.VALUES
    return path.name.lower().endswith(_SUFFIXES)


def _references(reference: Path | Dataset) -> Mapping[str, _Reference]:
    if isinstance(reference, Dataset):
        labelled = ((files, files.label) for files in reference.cases)
        return {files.id: _Reference(label, files.patient, files) for files, label in labelled if label is not None}
    files = {image_stem(reference): reference} if existing(reference).is_file() else label_files(reference)
    return {name: _Reference(path, name) for name, path in files.items()}


def _predictions(predicted: Path) -> list[_Predicted]:
    if predicted.is_file():
        return [_Predicted((image_stem(predicted),), predicted)]
    if (predicted / PREDICTIONS).is_file():
        return [_listed(row, predicted) for row in _rows(predicted / PREDICTIONS)]
    return [_Predicted((name,), path) for name, path in label_files(predicted).items()]


def _rows(table: Path) -> list[dict[str, str | None]]:
    reader = csv.DictReader(io.StringIO(read_text(table)))
    try:
        rows = list(reader)
    except csv.Error as error:
        raise InputError(f"{table.name} is no table: {error}") from error
    if "output" not in (reader.fieldnames or ()):
        raise InputError(f"{table.name} has no column 'output'; `medseg predict` writes one")
    return rows


def _listed(row: Mapping[str, str | None], folder: Path) -> _Predicted:
    """A row of ``predictions.csv``; the input's name is the case's in a manifest, where files have safer names."""
    path = confined(folder, row["output"]) if row["output"] else None
    names = (row.get("case"), row.get("input"), image_stem(path) if path else None)
    reason = f"{row.get('status') or 'no output'}: {row.get('reason') or 'no reason is given'}"
    return _Predicted(tuple(name for name in names if name) or ("unnamed",), path, reason)


def _no_match(predictions: Iterable[str], references: Iterable[str]) -> str:
    lists = []
    for kind, names in (("predictions", sorted(predictions)), ("references", sorted(references))):
        more = ", …" if len(names) > _SHOWN else ""
        lists.append(f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{more})" if names else f"no {kind}")
    return f"no prediction has a reference of its name: {lists[0]}, {lists[1]}"
