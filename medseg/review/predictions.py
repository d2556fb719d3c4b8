"""Predictions that were made in the app, of cases that came without outlines.

::

    FOLDER/predicted/CASE/labels.nii.gz    the outlines
    FOLDER/predicted/CASE/model.json       which model made them, when, and what their values mean

The case finds them at its next opening, as if it had come with them.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from medseg.core.errors import InputError
from medseg.core.files import atomic_folder, safe_name
from medseg.core.labels import LabelScheme, Region, Structure
from medseg.io.formats import write_labels

from .case_files import CaseFiles
from .infer import Inferred
from .records import CaseName, ModelStamp

_FOLDER, _LABELS, _MODEL = "predicted", "labels.nii.gz", "model.json"


class _Kept(BaseModel):
    """The file beside the outlines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelStamp
    made: float
    structures: tuple[Structure, ...]
    regions: tuple[Region, ...]
    ignore: int | None
    overlapping: bool

    @property
    def scheme(self) -> LabelScheme:
        """What the values of the outlines mean."""
        return LabelScheme(self.structures, self.regions, self.ignore, self.overlapping)


class Predictions:
    """The predictions of a review folder; safe among threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _FOLDER

    def keep(self, case: CaseName, inferred: Inferred) -> None:
        """Keep a prediction in the place of the one before.

        Raises:
            InputError: If the case's name is none of ours.
            OutputError: If the disk is full or the folder cannot be written to.
        """
        scheme = inferred.segmentation.scheme
        kept = _Kept(
            model=inferred.model,
            made=time.time(),
            structures=scheme.structures,
            regions=scheme.regions,
            ignore=scheme.ignore,
            overlapping=scheme.overlapping,
        )
        with atomic_folder(self._path(case)) as partial:
            write_labels(partial / _LABELS, inferred.segmentation.labels, scheme)
            (partial / _MODEL).write_text(kept.model_dump_json(indent=1), encoding="utf-8")

    def given(self, files: CaseFiles) -> CaseFiles:
        """The case with the prediction that was made here, if it came without one."""
        if files.prediction is not None:
            return files
        path = self._path(files.name)
        try:
            kept = _Kept.model_validate_json((path / _MODEL).read_bytes())
        except (OSError, ValidationError):
            return files
        return replace(
            files,
            prediction=path / _LABELS,
            scheme=kept.scheme,
            roots=(*files.roots, path) if files.roots else (),
            record=replace(files.record, model=kept.model, made=kept.made),
        )

    def _path(self, case: CaseName) -> Path:
        if safe_name(case) != case:
            raise InputError("a case is named by letters, digits, dots and dashes only")
        return self._folder / case
