"""What leaves the app: a version of a case's outlines in the forms that others read, and a report of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Protocol

import medseg
from medseg.batch.outputs import Product, ResultForm, completed, write_forms
from medseg.config.load import load_profile
from medseg.config.review import ReviewConfig
from medseg.core.errors import DeidError, InputError
from medseg.core.files import atomic_folder, flush_folder
from medseg.core.pseudonyms import ProjectKey
from medseg.core.segmentation import Segmentation
from medseg.deid.names import INSTANCE, name_of
from medseg.io.dicom_result import Algorithm, Making, ResultHeader, SourceSeries, derived_uid, read_source
from medseg.pipelines.deidentify import DeidentifyOptions, deidentify

from .access import Deed, may_see, require
from .case_report import CaseReport, Disclosed, report_page
from .edits import changed_ml
from .kept_outlines import kept_outlines
from .makers import is_reader, made_by_model
from .open_case import OpenCase, series_of
from .records import LOCAL_READER, Act, ModelStamp, Reader, Version
from .store import Store
from .vault import Vault

EXPORTS, REPORT = "exports", "report.html"
FORMS = (
    *(ResultForm.SEG, ResultForm.SEG_LABELMAP, ResultForm.RTSTRUCT, ResultForm.REPORT, ResultForm.NIFTI),
    *(ResultForm.NRRD, ResultForm.STL, ResultForm.OBJ),
)
"""What a version can be exported as."""
_SERIES_NUMBERS = {form: 9201 + index for index, form in enumerate(ResultForm)}
_READER, _UNNAMED = "reader", "unknown model"


class ExportMode(StrEnum):
    """Who an export is for."""

    RETURN = "return"
    """The house: objects that refer to the original study, for its PACS."""
    RELEASE = "release"
    """Anybody who gets the de-identified study: objects refer to that, and nobody is named."""


@dataclass(frozen=True)
class ExportRequest:
    """What is wanted.

    Attributes:
        version: Number of the version.
        forms: What to write.
        mode: Who it is for.
    """

    version: int
    forms: tuple[ResultForm, ...] = (ResultForm.SEG, ResultForm.NIFTI)
    mode: ExportMode = ExportMode.RETURN


class Holdings(Protocol):
    """What exports need of the app; the desk has it."""

    @property
    def config(self) -> ReviewConfig:
        """Says where exports go, and who may make them."""

    @property
    def key(self) -> ProjectKey:
        """Makes pseudonyms."""

    @property
    def store(self) -> Store:
        """Versions, decisions, the log."""

    @property
    def vault(self) -> Vault:
        """Outlines of all versions."""


def export_case(holdings: Holdings, case: OpenCase, request: ExportRequest, actor: Reader) -> Path:
    """Write a version and its report into a new folder below ``exports`` of the review folder.

    DICOM objects are read back before they are there, and exporting once more gives the same objects under the same
    UIDs. For release they go through ``medseg deidentify``, whose key makes their references those of the de-identified
    study.

    Args:
        holdings: Where things are kept.
        case: The case, opened.
        request: What is wanted.
        actor: Who asks, for the log.

    Returns:
        The folder; no earlier export is replaced.

    Raises:
        InputError: If the actor may not export, there is no such version, or a DICOM object is wanted of what is none.
        LabelError: If the version was drawn with other structures than the case has now.
        DeidError: If an object for release was held back.
        OutputError: If it cannot be written.
    """
    _check_rights(holdings, case, request, actor)
    version = version_of(holdings.store, case, request.version)
    forms = completed(request.forms)
    product = _product(holdings, case, version, request.mode, forms)
    named = f"{case.files.name}-v{version.number}-{request.mode}"
    with _new_folder(holdings.config.folder / EXPORTS, named) as folder, atomic_folder(folder) as partial_folder:
        write_forms(partial_folder, product, tuple(form for form in forms if not form.is_dicom))
        _write_dicom(partial_folder, holdings, product, forms, request.mode)
        text = report_page(_report(holdings, case, version, product, request.mode))
        (partial_folder / REPORT).write_text(text, encoding="utf-8")
        flush_folder(partial_folder)
        _log(holdings, case, request, actor)
    return folder


def _check_rights(holdings: Holdings, case: OpenCase, request: ExportRequest, actor: Reader) -> None:
    require(actor, Deed.EXPORT, holdings.config)
    record = case.files.record
    if not may_see(actor, record):
        raise InputError("there is no such case here, or no longer; choose one from the work list")
    if record.owner and request.mode is ExportMode.RETURN:
        raise InputError("an upload was de-identified, so nothing of it can refer to the original; export for release")


def _report(holdings: Holdings, case: OpenCase, version: Version, product: Product, mode: ExportMode) -> CaseReport:
    """For release without what people wrote, days, and pictures of an image that nobody has searched for text."""
    is_open = mode is ExportMode.RETURN
    shown = Disclosed(words=is_open, days=is_open, pictures=is_open or bool(case.files.record.owner))
    return CaseReport.of(holdings.store, case, version, product.segmentation, _naming(holdings, mode), shown)


def _log(holdings: Holdings, case: OpenCase, request: ExportRequest, actor: Reader) -> None:
    """An export that the log does not tell of is not made."""
    facts: dict[str, str | int | float] = {"version": request.version, "forms": " ".join(request.forms)}
    facts["mode"] = str(request.mode)
    holdings.store.log(Act.EXPORTED, actor, case.files.name, facts)


def version_of(store: Store, case: OpenCase, number: int) -> Version:
    """The version of that number.

    Raises:
        InputError: If there is none.
    """
    found = next((one for one in store.versions(case.files.name) if one.number == number), None)
    if found is None:
        raise InputError(f"case {case.files.name} has no version {number}")
    return found


def makings(store: Store, vault: Vault, case: OpenCase, version: Version) -> Mapping[str, Making]:
    """How each target of a version was outlined: by a model, by a model and a reader, or by a reader alone.

    A version is compared with the last one before it that a model made.
    """
    made = made_by_model(store.versions(version.case), version)
    if made.number == version.number:
        return {}
    before = Segmentation(kept_outlines(store, vault, case, made), case.scheme)
    changed = changed_ml(kept_outlines(store, vault, case, version), before.labels, case.scheme)
    found = {}
    for structure, mask in before.masks():
        if changed.get(structure.name):
            found[structure.name] = Making.SEMIAUTOMATIC if mask.any() else Making.MANUAL
    return found


def _product(
    holdings: Holdings, case: OpenCase, version: Version, mode: ExportMode, forms: Sequence[ResultForm]
) -> Product:
    segmentation = Segmentation(kept_outlines(holdings.store, holdings.vault, case, version), case.scheme)
    makes = makings(holdings.store, holdings.vault, case, version)
    reader = _naming(holdings, mode)(version.author) if is_reader(version.author) else ""
    return Product(
        segmentation,
        case.volume,
        None,
        _source(case) if any(form.is_dicom for form in forms) else None,
        partial(_header, version, holdings.store.model_of(version), makes, reader),
    )


def _source(case: OpenCase) -> SourceSeries:
    series = series_of(case.files)
    if not series:
        raise InputError(
            f"case {case.files.name} is no DICOM series, so no DICOM object can refer to it; export NIfTI or NRRD"
        )
    return read_source(series[0], fill_gaps=True)


def _header(
    version: Version, model: ModelStamp, makes: Mapping[str, Making], reader: str, form: ResultForm
) -> ResultHeader:
    """The same UIDs whenever the same version is exported in the same form."""
    origin = f"{version.case} {version.number} {version.sha256} {form}"
    name = model.name or _UNNAMED
    return ResultHeader(
        series_uid=derived_uid(f"series of review {origin}"),
        instance_uid=derived_uid(f"instance of review {origin}"),
        series_number=_SERIES_NUMBERS[form],
        description=(f"{name} {form}, {'reviewed' if reader else 'as predicted'}")[:64],
        algorithm=Algorithm(name, model.version or medseg.__version__),
        made=datetime.fromtimestamp(version.made, UTC).astimezone(),
        makings=makes,
        reader=reader,
    )


def _write_dicom(
    folder: Path, holdings: Holdings, product: Product, forms: Sequence[ResultForm], mode: ExportMode
) -> None:
    wanted = tuple(form for form in forms if form.is_dicom)
    if not wanted:
        return
    if mode is ExportMode.RETURN:
        write_forms(folder, product, wanted)
        return
    with _workshop(holdings.config.folder) as workshop:
        named = workshop / "named"
        named.mkdir()
        write_forms(named, product, wanted)
        released = _released(named, workshop, holdings)
        for form in wanted:
            written = name_of(holdings.key, INSTANCE, product.headers(form).instance_uid)
            (found,) = released.rglob(f"{written}*")
            found.rename(folder / f"{form.value.replace('-', '_')}.dcm")


def _released(named: Path, workshop: Path, holdings: Holdings) -> Path:
    """The objects without anybody's name, with the references of the de-identified study."""
    profile = load_profile(holdings.config.profile)
    done = deidentify(named, workshop / "released", DeidentifyOptions(profile, holdings.config.key, workers=0))
    if done.has_failures:
        raise DeidError(
            "an object was held back, as it cannot be shown to name nobody; export another form, or for the house"
        )
    return done.output


def _naming(holdings: Holdings, mode: ExportMode) -> _Naming:
    return _Naming(holdings.key, mode)


@dataclass(frozen=True)
class _Naming:
    """What a reader is called in an export."""

    key: ProjectKey
    mode: ExportMode

    def __call__(self, author: str) -> str:
        is_named = self.mode is ExportMode.RETURN or not is_reader(author) or author == LOCAL_READER
        return author if is_named else self.key.name(_READER, author)


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """A folder that is gone afterwards; what lies in it may name patients, so it stays in the review folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as name:
        yield Path(name)


@contextmanager
def _new_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder of that name, or of one with a number, that nobody else has; gone again if the block fails."""
    parent.mkdir(parents=True, exist_ok=True)
    folder, number = parent / name, 1
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
            folder = parent / f"{name}-{number}"
        else:
            break
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # only if it is still empty
            folder.rmdir()
        raise
