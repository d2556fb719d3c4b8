"""What there is to predict: from paths to images, with a reason for each that is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from medseg.core.case import CaseId
from medseg.core.errors import InputError, ReadError
from medseg.core.files import existing
from medseg.core.progress import SILENT, Progress
from medseg.core.pseudonyms import ProjectKey, load_key
from medseg.core.volume import Volume
from medseg.data.dataset import CaseFiles, ImageFile
from medseg.data.joining import Joining
from medseg.data.layouts import open_dataset
from medseg.data.load import load_image
from medseg.deid.names import SERIES, name_of
from medseg.io.dicom_read import read_series
from medseg.io.formats import Format, image_stem, read_volume, sniff
from medseg.io.studies import Series, find_series

from .bundle import TrainingFacts
from .suitability import wrong_grid, wrong_modality

_MANIFESTS = (".csv", ".json")


@dataclass(frozen=True, eq=False)
class Candidate:
    """One image that a model could predict.

    Attributes:
        name: What its outputs are called.
        shown: What reports call it: the file's name without its folders, or a pseudonym for DICOM.
        load: Reads it.
        files: Its own files, which no output may replace.
        unfit: Why the model should not predict it; None if nothing speaks against it.
        is_named: Whether the user asked for this very image, rather than for a folder of several.
    """

    name: str
    shown: str
    load: Callable[[], Volume] = field(repr=False)
    files: tuple[Path, ...] = field(default=(), repr=False)
    unfit: str | None = None
    is_named: bool = True


@dataclass(frozen=True, eq=False)
class Finder:
    """Finds what to predict.

    Attributes:
        facts: What the model was trained on.
        key: File of the project key that makes pseudonyms; None for the user's own. Only read if there is DICOM.
        all_series: Take DICOM series for fit that do not look like the training images.
        fill_gaps: Interpolate missing slices.
        progress: Told of DICOM headers.
        joining: Which channels an image may lack, and what they are resampled onto.
    """

    facts: TrainingFacts
    key: Path | None = None
    all_series: bool = False
    fill_gaps: bool = False
    progress: Progress = SILENT
    joining: Joining = field(default_factory=Joining)

    def find(self, paths: Sequence[Path]) -> tuple[Candidate, ...]:
        """All images at the paths: files, DICOM folders, folders of either, manifests.

        Raises:
            InputError: If a path does not exist or holds no image.
            MedsegError: If a manifest is not valid.
        """
        candidates: list[Candidate] = []
        for path in paths:
            found = tuple(self._at(existing(path)))
            if not found:
                raise InputError(f"{str(path)!r} holds no image")
            candidates.extend(found)
        return tuple(candidates)

    def join(self, channels: Mapping[str, Path]) -> Candidate:
        """The one image whose channels lie in several files; it is named after the one on whose grid it is predicted.

        Raises:
            InputError: If the names are not those of the model, or a path does not exist.
            MedsegError: If the first file is no image.
        """
        wanted = self._named(channels)
        first, *_ = (existing(channels[name]) for name in self._first(wanted))
        if sniff(first) is Format.DICOM:
            series = find_series(first, self.progress).series
            if not series:
                raise InputError(f"{str(first)!r} holds no DICOM series")
            name = shown = self._pseudonym(next((one for one in series if one.problem is None), series[0]))
        else:
            name, shown = image_stem(first), first.name
        files = CaseFiles(CaseId(name), {one: ImageFile(channels[one]) for one in wanted}, None, name)
        load = partial(load_image, files, wanted, self.joining)
        return Candidate(name, shown, load, tuple(channels.values()))

    def _named(self, channels: Mapping[str, Path]) -> tuple[str, ...]:
        """The model's channels that were given, in its order."""
        wanted = self.facts.modalities
        if not channels or not set(wanted) - self.joining.optional <= set(channels) <= set(wanted):
            spared = [name for name in wanted if name in self.joining.optional]
            can_do = f" and can do without {', '.join(spared)}" if spared else ""
            raise InputError(f"channels {', '.join(channels)} were given, the model wants {', '.join(wanted)}{can_do}")
        return tuple(name for name in wanted if name in channels)

    def _first(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The same names, that of the reference before all others."""
        return tuple(sorted(names, key=lambda name: name != self.joining.reference))

    def _at(self, path: Path) -> Iterator[Candidate]:
        if path.is_dir():
            yield from self._in_folder(path)
        elif path.suffix.lower() in _MANIFESTS:
            yield from self._in_manifest(path)
        elif _format(path) is Format.DICOM:
            inventory = find_series(path, self.progress, fill_gaps=self.fill_gaps)
            yield from (self._series(one, is_named=True) for one in inventory.series)
        else:
            yield _image_file(path, is_named=True)

    def _in_folder(self, folder: Path) -> Iterator[Candidate]:
        files = [path for path in sorted(folder.iterdir()) if path.is_file() and _is_image_file(path)]
        inventory = find_series(folder, self.progress, fill_gaps=self.fill_gaps)
        if not files and not inventory.series:
            damaged = f" ({inventory.unreadable} damaged DICOM files)" if inventory.unreadable else ""
            raise InputError(
                f"{str(folder)!r} holds no image{damaged}: no DICOM series at any depth, and no NIfTI, NRRD, MHA, PNG, "
                f"JPEG or TIFF file directly in it"
            )
        alone = len(files) + len(inventory.series) == 1
        yield from (_image_file(path, is_named=alone) for path in files)
        yield from (self._series(one, is_named=alone) for one in inventory.series)

    def _in_manifest(self, path: Path) -> Iterator[Candidate]:
        dataset = open_dataset(path)
        wanted = set(self.facts.modalities)
        has_all = wanted - self.joining.optional <= set(dataset.channels) and wanted & set(dataset.channels)
        channels = self.facts.modalities if has_all else dataset.channels
        for case in dataset.cases:
            labels = () if case.label is None else (case.label,)
            files = (path, *labels, *(image.path for image in case.images.values()))
            yield Candidate(case.id, case.id, partial(load_image, case, channels, self.joining), files, is_named=False)

    def _series(self, series: Series, *, is_named: bool) -> Candidate:
        name = self._pseudonym(series)
        load = partial(read_series, series, fill_gaps=self.fill_gaps)
        return Candidate(name, name, load, (), self._unfit(series, is_named=is_named), is_named)

    def _unfit(self, series: Series, *, is_named: bool) -> str | None:
        if series.problem is not None:
            return series.problem
        wanted = self.facts.modalities
        if len(wanted) > 1:
            return f"it has one channel, the model wants {', '.join(wanted)}; join them by --channel or a manifest"
        if self.all_series:
            return None
        reason = wrong_modality(series.modality, self.facts)
        if reason is None and series.geometry is not None and not is_named:
            reason = wrong_grid(series.geometry, self.facts)
        return reason and f"{reason}; --all-series predicts it all the same"

    def _pseudonym(self, series: Series) -> str:
        return name_of(self._project_key, SERIES, series.uid)

    @cached_property
    def _project_key(self) -> ProjectKey:
        return load_key(self.key)


def _image_file(path: Path, *, is_named: bool) -> Candidate:
    return Candidate(image_stem(path), path.name, partial(read_volume, path), (path,), is_named=is_named)


def _is_image_file(path: Path) -> bool:
    """Whether a file is an image and no DICOM, or says by its suffix that it should be."""
    found = None if path.name.startswith(".") else _format(path)
    if found is not None:
        return found is not Format.DICOM
    looks_like_one = image_stem(path) != path.name and path.suffix.lower() != ".dcm"
    return looks_like_one and not path.name.startswith(".")


def _format(path: Path) -> Format | None:
    try:
        return sniff(path)
    except ReadError:
        return None
