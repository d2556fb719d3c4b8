"""Accepted outlines as a data set that ``medseg plan`` and ``medseg train`` take as it is."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from medseg.core.errors import InputError, LabelError
from medseg.core.files import atomic_folder, flush_folder, safe_name
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import LabelMap, Volume
from medseg.io.formats import write_label_map, write_multi_label_map, write_volume

from .accepted import accepted_cases
from .access import Deed, require
from .case_files import CaseFiles
from .export import Holdings
from .kept_outlines import kept_outlines
from .open_case import OpenCase, open_case, series_of
from .records import Act, CaseName, Reader, Verdict, Version

MANIFEST, LABELS = "manifest.json", "labels.json"
LEFT_OUT = "left_out.csv"


@dataclass(frozen=True)
class TrainingSet:
    """What was written.

    Attributes:
        manifest: The file that ``medseg plan`` takes.
        cases: Names of the cases in it.
        left_out: Why each other case is not in it.
    """

    manifest: Path
    cases: tuple[CaseName, ...]
    left_out: dict[CaseName, str]


def write_training_set(
    holdings: Holdings, cases: Iterable[CaseFiles], output: Path, actor: Reader, progress: Progress = SILENT
) -> TrainingSet:
    """Write image and newest accepted outlines of each accepted case, with a manifest, into a new folder.

    Cases go by their pseudonyms and by a pseudonym of their patient, so that no split parts a patient; of an image
    that is no DICOM series nobody knows the patient, and it counts as one. The pixels are the image's own: burned-in
    text and faces are as they were, so the data set stays in the house.

    Args:
        holdings: Where things are kept.
        cases: The cases to choose from.
        output: New folder.
        actor: Who asks, for the log.
        progress: Told of each case.

    Raises:
        InputError: If the actor may not export, the folder is there, or no case is accepted.
        LabelError: If the cases differ in their structures or channels, or outlines were drawn with other structures
            than their case has now.
        MedsegError: If a case cannot be read; nothing is written then.
        OutputError: If the folder cannot be written.
    """
    require(actor, Deed.EXPORT, holdings.config)
    if output.exists():
        raise InputError(f"{output.name!r} is there already; name a new folder")
    chosen, left_out = accepted_cases(holdings.store, cases, actor)
    if not chosen:
        raise InputError("no case is accepted yet, so there is nothing to train on")
    progress.start("training set", len(chosen))
    rows: list[dict[str, object]] = []
    schemes: dict[CaseName, LabelScheme] = {}
    with atomic_folder(output) as folder:
        for files, version in chosen:
            case = open_case(files)
            schemes[files.name] = case.scheme
            rows.append(_written(folder, holdings, case, version))
            progress.advance()
        _check_alike(schemes, rows)
        _write_lists(folder, next(iter(schemes.values())), rows, left_out)
        flush_folder(folder)
    progress.finish()
    for files, version in chosen:
        holdings.store.log(Act.EXPORTED, actor, files.name, {"version": version.number, "forms": "training set"})
    return TrainingSet(output / MANIFEST, tuple(files.name for files, _ in chosen), left_out)


def _written(folder: Path, holdings: Holdings, case: OpenCase, version: Version) -> dict[str, object]:
    """The entry of a case in the manifest, its files written."""
    name, grid = str(case.files.name), case.volume.geometry
    images = {}
    for index, channel in enumerate(case.volume.channels):
        images[channel] = f"images/{safe_name(name)}_{index:04d}.nii.gz"
        write_volume(folder / images[channel], Volume(case.volume.array[index : index + 1], grid, (channel,)))
    label = f"labels/{safe_name(name)}.nii.gz"
    labels = kept_outlines(holdings.store, holdings.vault, case, version)
    if isinstance(labels, LabelMap):
        write_label_map(folder / label, labels)
    else:
        write_multi_label_map(folder / label, labels)
    attributes = {"verdict": str(Verdict.ACCEPTED), "version": str(version.number)}
    return {"id": name, "patient": _patient(holdings, case), "images": images, "label": label, "attributes": attributes}


def _patient(holdings: Holdings, case: OpenCase) -> str:
    series = series_of(case.files)
    if not series:
        return str(case.files.name)
    issuer, _, number = series[0].patient.partition("\0")
    return holdings.key.patient(issuer, number)


def _check_alike(schemes: dict[CaseName, LabelScheme], rows: list[dict[str, object]]) -> None:
    first = next(iter(schemes.values()))
    for name, scheme in schemes.items():
        if (scheme.names, scheme.values, scheme.overlapping) != (first.names, first.values, first.overlapping):
            raise LabelError(f"case {name} has other structures than the first; export cases of one kind at a time")
    channels = [tuple(row["images"]) for row in rows if isinstance(row["images"], dict)]
    if len(set(channels)) > 1:
        raise LabelError("the cases differ in their channels; export cases of one kind at a time")


def _write_lists(
    folder: Path, scheme: LabelScheme, rows: list[dict[str, object]], left_out: dict[CaseName, str]
) -> None:
    values = dict(zip(scheme.names, scheme.values, strict=True))
    manifest: dict[str, object] = {
        "name": "reviewed",
        "labels": values,
        "overlapping": scheme.overlapping,
        "cases": rows,
    }
    if scheme.ignore is not None:
        manifest["ignore"] = scheme.ignore
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    (folder / LABELS).write_text(json.dumps(values, indent=1), encoding="utf-8")
    with (folder / LEFT_OUT).open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([("case", "why"), *left_out.items()])
