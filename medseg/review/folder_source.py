"""Cases from folders: data sets, images as `medseg predict` takes them, and the outlines that belong to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from medseg.config.review import FolderSource
from medseg.config.sections import Layout
from medseg.core.errors import InputError, ReadError
from medseg.core.files import existing
from medseg.core.labels import LabelScheme
from medseg.core.pseudonyms import ProjectKey
from medseg.data.dataset import CaseFiles as DatasetCase
from medseg.data.dataset import Dataset
from medseg.data.documents import read_json
from medseg.data.layouts import find_layout, open_dataset
from medseg.data.structures import LABELS_FILE
from medseg.deid.names import SERIES, name_of
from medseg.evaluation.schemes import read_scheme
from medseg.inference.expected import StructureFacts
from medseg.io.formats import Format, image_stem, sniff
from medseg.io.studies import Series, find_series

from .case_files import CaseFiles, FoundCases, ImageSource
from .flags import table_flags
from .image_sources import DatasetImage, PathsImage, SeriesImage
from .known_models import KnownModel, model_stamp
from .outline_files import Outline, outlines_in, outlines_stamp
from .records import CaseName, CaseRecord, ModelStamp, Origin
from .stamps import Stamp, stamp, tree_stamp

CASE = "case"
"""Kind of the pseudonyms of cases that are files."""
_UNNAMED = LabelScheme.from_names({"structure 1": 1})
_NAMING = (Layout.MSD, Layout.NNUNET, Layout.COCO, Layout.VOC, Layout.CITYSCAPES)
"""Layouts that say what their values mean, without a look at the voxels."""


@dataclass(frozen=True, eq=False)
class _Image:
    """An image, under the names that its outlines may go by, the surest first."""

    names: tuple[str, ...] = field(repr=False)
    paths: tuple[Path, ...] = field(repr=False)
    source: ImageSource
    reference: Path | None = field(default=None, repr=False)
    item: str = field(default="", repr=False)


@dataclass(frozen=True, eq=False)
class _Outlines:
    """What there is by case, and what it means; ``own`` is what a data set of the images says of its labels."""

    predictions: Mapping[str, Outline] = field(repr=False)
    references: Mapping[str, Outline] = field(repr=False)
    others: Mapping[str, Mapping[str, Outline]] = field(repr=False)
    scheme: LabelScheme | None
    reference_scheme: LabelScheme | None
    own: LabelScheme | None
    model: KnownModel | None
    roots: tuple[Path, ...] = field(repr=False)

    @property
    def facts(self) -> Mapping[str, StructureFacts]:
        return self.model.rules.facts.structures if self.model else {}

    @property
    def stamp(self) -> ModelStamp:
        return self.model.stamp if self.model else ModelStamp()


class FolderCases:
    """The cases of one folder or data set; no voxel is read for them, only DICOM headers.

    Args:
        source: Where images and outlines are.
        key: Makes the pseudonyms.
    """

    def __init__(self, source: FolderSource, key: ProjectKey) -> None:
        self._source, self._key = source, key

    def stamp(self) -> Stamp:
        """What changes when the cases do; files that were written over in their place do not show, but for tables."""
        source = self._source
        folders = [one for one in (source.predictions, source.reference, *source.others.values()) if one is not None]
        outlines = tuple(one for folder in folders for one in outlines_stamp(folder))
        model = model_stamp(source.model) if source.model else ()
        tables = [source.images / name for name in ("dataset.json", "manifest.csv", "manifest.json", LABELS_FILE)]
        tables += [source.images.parent / LABELS_FILE, *([source.labels] if source.labels else [])]
        return tree_stamp(source.images) + outlines + model + stamp(tables)

    def find(self, model: KnownModel | None) -> FoundCases:
        """All images.

        Args:
            model: What made the predictions; None if nobody knows.

        Raises:
            InputError: If a folder is not there or holds no image, or a manifest names a file outside of its folder.
            DataError: If a manifest, a table or a labels file is damaged.
        """
        source = self._source
        said = read_scheme(source.labels) if source.labels else None
        dataset = _dataset(existing(source.images), said)
        references, named = _references(source.reference, said)
        own = dataset.scheme if dataset else None
        outlines = _Outlines(
            outlines_in(source.predictions) if source.predictions else {},
            references,
            {label: outlines_in(folder) for label, folder in source.others.items()},
            said or (model.scheme if model else None) or own or named or self._scheme_beside(),
            named,
            own,
            model,
            self._roots(dataset),
        )
        images = _of_dataset(dataset) if dataset else self._images(source.images)
        cases = tuple(self._case(image, outlines) for image in images)
        if not cases:
            raise InputError("the folder of images holds no image")
        return FoundCases(cases)

    def _roots(self, dataset: Dataset | None) -> tuple[Path, ...]:
        source = self._source
        given = (source.images, source.predictions, source.reference, *source.others.values())
        folders = [path if path.is_dir() else path.parent for path in given if path is not None]
        return (*folders, *([dataset.folder] if dataset else []))

    def _scheme_beside(self) -> LabelScheme | None:
        """From ``labels.json`` in a folder of outlines or the one above."""
        source = self._source
        for folder in (source.reference, source.predictions, *source.others.values()):
            for place in (folder, folder.parent) if folder else ():
                if (place / LABELS_FILE).is_file():
                    return read_scheme(place / LABELS_FILE)
        return None

    def _images(self, path: Path) -> Iterator[_Image]:
        """The image files directly in a folder, and the DICOM series at any depth; or the one file."""
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            if _is_image_file(file):
                yield _Image((image_stem(file), file.name), (file,), PathsImage((file,)))
        for series in find_series(path, fill_gaps=True).series:
            if series.geometry is not None and series.problem is None:
                yield self._series(series)

    def _series(self, series: Series) -> _Image:
        return _Image((name_of(self._key, SERIES, series.uid),), series.files, SeriesImage(series))

    def _case(self, image: _Image, outlines: _Outlines) -> CaseFiles:
        name = self._name(image)
        predicted, reference = _first(outlines.predictions, image.names), _first(outlines.references, image.names)
        others = {label: _first(some, image.names) for label, some in outlines.others.items()}
        made = _made(predicted)
        flags = table_flags(predicted.volumes_ml, predicted.note, outlines.facts) if predicted and made else ()
        return CaseFiles(
            name=name,
            origin=Origin.FOLDER,
            image=image.paths,
            record=CaseRecord(name, Origin.FOLDER, outlines.stamp if made else ModelStamp(), made, flags),
            prediction=predicted.path if predicted and made else None,
            reference=reference.path if reference else image.reference,
            others={label: one.path for label, one in others.items() if one},
            uncertainty=predicted.uncertainty if predicted else None,
            scheme=outlines.scheme,
            reference_scheme=outlines.reference_scheme if reference else outlines.own,
            facts=outlines.facts,
            roots=outlines.roots,
            source=image.source,
            reference_item="" if reference else image.item,
            identifiers=image.names[-1],
        )

    def _name(self, image: _Image) -> CaseName:
        """The pseudonym of the case; one of this key stays as it is, so that one series has one name everywhere."""
        first = image.names[0]
        if self._key.made_name(first):
            return CaseName(first)
        prefix = f"{self._source.name}\0" if self._source.name else ""
        return CaseName(self._key.name(CASE, f"{prefix}{first}"))


def _dataset(path: Path, scheme: LabelScheme | None) -> Dataset | None:
    """The data set at the path; None if it is none. Its values are not looked at: nobody names them, nobody does."""
    layout = find_layout(path)
    if layout is None:
        return None
    if scheme is not None or layout in _NAMING or _names_its_labels(path):
        return open_dataset(path, scheme=scheme)
    return replace(open_dataset(path, scheme=_UNNAMED), scheme=None)


def _names_its_labels(path: Path) -> bool:
    """Whether ``labels.json`` or a manifest says what the values mean."""
    folder = path if path.is_dir() else path.parent
    manifest = path / "manifest.json" if path.is_dir() else path
    has_names = manifest.suffix.lower() == ".json" and manifest.is_file() and "labels" in read_json(manifest)
    return has_names or (folder / LABELS_FILE).is_file()


def _references(path: Path | None, scheme: LabelScheme | None) -> tuple[Mapping[str, Outline], LabelScheme | None]:
    """Reference outlines by case, and what a data set of them says of their values."""
    if path is None:
        return {}, None
    dataset = _dataset(existing(path), scheme)
    if dataset is None:
        return outlines_in(path), None
    return {case.id: Outline(case.label) for case in dataset.cases if case.label and not case.item}, dataset.scheme


def _of_dataset(dataset: Dataset) -> Iterator[_Image]:
    for case in dataset.cases:
        paths = tuple(dict.fromkeys(entry.path for entry in case.images.values()))
        source = DatasetImage(case, tuple(name for name in dataset.channels if name in case.images))
        yield _Image((case.id, *_file_names(case)), paths, source, case.label, case.item or "")


def _file_names(case: DatasetCase) -> tuple[str, ...]:
    """Names that outlines of the case may go by besides its own: of its file, if all channels are in one."""
    paths = {entry.path for entry in case.images.values()}
    return tuple(path.name for path in paths if len(paths) == 1)


def _first(outlines: Mapping[str, Outline], names: tuple[str, ...]) -> Outline | None:
    return next((outlines[name] for name in names if name in outlines), None)


def _made(outline: Outline | None) -> float | None:
    """When the outlines were written; None if they are not there."""
    try:
        return None if outline is None else outline.path.stat().st_mtime
    except OSError:
        return None


def _is_image_file(path: Path) -> bool:
    """Whether a file is an image and not DICOM; of a folder's hidden files none is."""
    if path.name.startswith(".") or not path.is_file():
        return False
    try:
        return sniff(path) is not Format.DICOM
    except (InputError, ReadError):
        return False
