"""Cases from the results of `medseg batch`: one a series that was predicted."""

from __future__ import annotations

import re
import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from medseg.batch.manifest import FILE, Manifest, StudyRow, read_manifest
from medseg.batch.outputs import ResultForm, paths_of
from medseg.batch.records import Measured, Status
from medseg.batch.work import STUDIES
from medseg.config.review import BatchSource
from medseg.core.errors import InputError
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.names import SERIES, STUDY

from .case_files import CaseFiles, FoundCases
from .hidden_names import shown_text
from .known_models import KnownModel, result_version
from .outline_files import Outline, outlines_in, outlines_stamp
from .records import CaseName, CaseRecord, Flag, ModelStamp, Origin
from .stamps import Stamp, stamp
from .study_index import StudyImage, StudyIndex

_NAMED = (
    *(ResultForm.NRRD, ResultForm.SEG_LABELMAP, ResultForm.SEG),
    *(ResultForm.SEG_FRACTIONAL, ResultForm.RTSTRUCT),
)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_RESULTS = 1_000_000
_MOST_FLAGS, _LONGEST_FLAG, _LONGEST_TARGET = 100, 200, 64


@dataclass(frozen=True, eq=False)
class _Facts:
    """What all results of one batch have in common."""

    digest: str
    model: KnownModel | None
    runs: Sequence[tuple[float, Mapping[str, str]]]
    references: Mapping[str, Outline] = field(repr=False)


class BatchCases:
    """The cases of one batch; its manifest is read again when it has changed, and it may be growing.

    No other file is looked at before a case is opened.

    Args:
        source: Where the results and the studies are.
        key: The key that the batch used.
    """

    def __init__(self, source: BatchSource, key: ProjectKey) -> None:
        self._source, self._key = source, key
        self._index = StudyIndex(source.studies, key)

    def stamp(self) -> Stamp:
        """What changes when the cases do."""
        reference = self._source.reference
        return stamp((self._source.output / FILE,)) + (outlines_stamp(reference) if reference else ())

    def find(self, models: Mapping[str, KnownModel]) -> FoundCases:
        """All series that were predicted.

        Args:
            models: Those that are known, by their digest.

        Raises:
            InputError: If the manifest is not there or damaged, or made with another key, or the folder of references
                is not there.
        """
        references = outlines_in(self._source.reference) if self._source.reference else {}
        try:
            with read_manifest(self._source.output) as manifest:
                facts = self._facts(manifest, models, references)
                cases, others = self._cases(manifest, facts)
        except (ValueError, TypeError, AttributeError, sqlite3.Error) as error:
            raise InputError("the manifest of the batch is damaged") from error
        return FoundCases(cases, (f"{others} results have no outlines or no valid name",) if others else ())

    def _facts(self, manifest: Manifest, models: Mapping[str, KnownModel], references: Mapping[str, Outline]) -> _Facts:
        digest, _, fingerprint = manifest.model.partition(" ")
        if fingerprint != self._key.fingerprint:
            raise InputError("the batch was made with another project key; name that one as `key` in the configuration")
        known = digest if _DIGEST.fullmatch(digest) else ""
        return _Facts(known, models.get(known), manifest.runs(), references)

    def _cases(self, manifest: Manifest, facts: _Facts) -> tuple[tuple[CaseFiles, ...], int]:
        """The cases, and how many results make none."""
        found: list[CaseFiles] = []
        others = 0
        for row in manifest.rows():
            for series in row.result.series if row.result.status is Status.DONE else ():
                case = self._case(row, series, facts)
                others += case is None
                found.extend(() if case is None else (case,))
                if len(found) > _MOST_RESULTS:
                    raise InputError(f"the batch has more than {_MOST_RESULTS} results")
        return tuple(found), others

    def _case(self, row: StudyRow, series: str, facts: _Facts) -> CaseFiles | None:
        """None for a row that this batch did not write, and for results without outlines."""
        study = row.result.name
        if not (self._is_name(STUDY, study) and self._is_name(SERIES, series)):
            return None
        written = {one.name for one in row.result.outputs}
        folder = self._source.output / STUDIES / study / series
        there = {name: folder / name for name in paths_of(tuple(ResultForm)) if f"{series}/{name}" in written}
        prediction = next((there[name] for name in outline_names(facts.model) if name in there), None)
        if prediction is None:
            return None
        reference = facts.references.get(series)
        roots = [self._source.output, *([self._source.reference] if self._source.reference else [])]
        return CaseFiles(
            name=CaseName(series),
            origin=Origin.BATCH,
            image=(),
            record=_record(row, series, facts),
            prediction=prediction,
            reference=None if reference is None else reference.path,
            uncertainty=there.get(_name(ResultForm.PROBABILITIES)),
            scheme=facts.model.scheme if facts.model else None,
            facts=facts.model.rules.facts.structures if facts.model else {},
            roots=tuple(roots),
            source=StudyImage(self._index, self._key, study, series, facts.model.rules if facts.model else None),
        )

    def _is_name(self, kind: str, name: object) -> bool:
        return isinstance(name, str) and name.startswith(f"{kind}-") and self._key.made_name(name)


def outline_names(model: KnownModel | None) -> Iterator[str]:
    """Names of result files that hold outlines, in the order in which they are looked for.

    Label maps keep every voxel, but not what the values mean, so they come first if the model is known, and last if it
    is not. Of those that name their structures, 3D Slicer's keeps voxels and values, the DICOM segmentations voxels,
    the fractional one only what is above one half, and contours not even all voxels.
    """
    plain, named = _name(ResultForm.NIFTI), map(_name, _NAMED)
    yield from (plain, *named) if model else (*named, plain)


def _name(form: ResultForm) -> str:
    return next(paths_of((form,)))


def _record(row: StudyRow, series: str, facts: _Facts) -> CaseRecord:
    mine = [one for one in row.result.measured if one.series == series]
    return CaseRecord(CaseName(series), Origin.BATCH, _stamp(row, facts), row.ended, _flags(mine))


def _stamp(row: StudyRow, facts: _Facts) -> ModelStamp:
    """The model, with the version of the program of the run that the study was done in."""
    place = bisect_right([started for started, _ in facts.runs], row.ended or 0.0) - 1
    software = str(facts.runs[place][1].get("medseg", "")) if place >= 0 else ""
    name = facts.model.stamp.name if facts.model else ""
    return ModelStamp(name, shown_text(result_version(software, facts.digest), _LONGEST_TARGET), facts.digest)


def _flags(measured: Sequence[Measured]) -> tuple[Flag, ...]:
    flags = (
        Flag(shown_text(one.target, _LONGEST_TARGET), shown_text(text, _LONGEST_FLAG))
        for one in measured
        for text in one.flags
        if text
    )
    return tuple(flag for _, flag in zip(range(_MOST_FLAGS), flags, strict=False))
