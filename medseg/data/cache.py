"""Preprocessed cases on disk: written once, atomically, and memory-mapped from then on."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from medseg.config.sections import RunConfig
from medseg.core.case import CaseId
from medseg.core.files import atomic_folder, flush_folder
from medseg.core.geometry import Box, Geometry, LengthUnit
from medseg.core.labels import IGNORE_INDEX, LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.io.listing import list_files
from medseg.transforms.preprocess import Prepared, prepare_case

from .dataset import CaseFiles
from .folder_lock import LOCK, locked
from .joining import Joining
from .load import load_case
from .open_files import allow_open_files

_SAMPLES_PER_TARGET = 10_000
_SAMPLES_PER_TARGET_OF_A_PART = 2_500
_FORM = 5  # of the files; another number makes all cases anew
_STAMP = "stamp.txt"  # which files and settings a case was made from
_MAPPED = ("image", "target", "foreground")


@dataclass(frozen=True, eq=False)
class PreparedArrays:
    """One case as the network sees it.

    Attributes:
        id: The case.
        image: float32, shape ``(channel, i, j, k)``, memory-mapped.
        target: uint8, class indices ``(i, j, k)``, or 0/1/255 masks ``(target, i, j, k)`` where targets overlap.
        foreground: For each target up to 10 000 of its voxels, shape ``(n, 3)``, memory-mapped.
        source: The grid of the image before preprocessing.
        network: The grid of ``image`` and ``target``.
        labelled: Up to 10 000 voxels that somebody labelled, background included, shape ``(n, 3)``; None where nothing
            is ignored.
        box: Which part of the case's files this is; None for all of them.
    """

    id: CaseId
    image: NDArray[np.float32]
    target: NDArray[np.uint8]
    foreground: tuple[NDArray[np.int32], ...]
    source: Geometry
    network: Geometry
    labelled: NDArray[np.int32] | None = None
    box: Box | None = None

    def __reduce__(self) -> tuple[Callable[..., PreparedArrays], tuple[object, ...]]:
        """Processes that are not forked open the files anew, so that no array is copied into each of them."""
        file = getattr(self.image, "filename", None)
        if file is None:
            return PreparedArrays, tuple(getattr(self, one.name) for one in fields(self))
        return _open, (Path(file).parent, self.id, self.box)

    def cropped(self, box: Box) -> PreparedArrays:
        """The part of the case in a box of its grid, as if the image ended there; a part of a part is not made.

        Of each target up to 2 500 of the sampled voxels are kept, spread evenly, since they are copied.

        Args:
            box: Plain start and stop values, inside the grid.
        """
        assert self.box is None  # noqa: S101 - the files would be cut at the wrong place
        return replace(
            self,
            image=self.image[(slice(None), *box)],
            target=self.target[(..., *box)],
            foreground=tuple(_inside(voxels, box) for voxels in self.foreground),
            network=self.network.cropped(box),
            labelled=None if self.labelled is None else _inside(self.labelled, box),
            box=box,
        )


class PreparedCases:
    """The preprocessed cases of one run, or of all folds of a cross-validation, in one folder.

    A case is prepared when its folder is missing or was made from other files or settings; an interrupted run loses
    the case that it was at, no more. Processes that prepare at once take turns, so that no case is made twice. What
    belongs to none of the cases, such as what a killed process left half-written, is removed.

    Args:
        folder: Where they lie.
        config: Says how a network sees them.
        scheme: The structures.
        labelled: Whether labels are wanted; if not, none is read or needed, and targets are all background.
    """

    def __init__(self, folder: Path, config: RunConfig, scheme: LabelScheme, *, labelled: bool = True) -> None:
        self._folder = folder
        self._config = config
        self._scheme = scheme
        self._labelled = labelled

    def prepare(self, cases: Iterable[CaseFiles], progress: Progress = SILENT) -> list[PreparedArrays]:
        """Prepare what is missing and open all, in the order given.

        Raises:
            DataError: If a case cannot be read or does not fit the scheme.
            InputError: If the system does not allow that many open files, or a folder holds more than a million.
        """
        wanted = list(cases)
        allow_open_files(len(_MAPPED) * len(wanted))
        progress.start("preparing cases", len(wanted))
        _remove_others(self._folder, {_folder_name(files.id) for files in wanted})
        opened = []
        version = functools.cache(_version)  # many cases may lie in one large folder
        for files in wanted:
            folder = self._folder / _folder_name(files.id)
            stamp = self._stamp(files, version)
            if not _is_current(folder, stamp):
                self._make(files, folder, stamp)
            opened.append(self._opened(files, folder, stamp))
            progress.advance()
        return opened

    def _opened(self, files: CaseFiles, folder: Path, stamp: str) -> PreparedArrays:
        """The case from its folder; what a machine that went down left damaged is made anew."""
        try:
            return _open(folder, files.id)
        except (EOFError, ValueError, FileNotFoundError, BadZipFile):
            (folder / _STAMP).unlink(missing_ok=True)
        self._make(files, folder, stamp)
        return _open(folder, files.id)

    def _make(self, files: CaseFiles, folder: Path, stamp: str) -> None:
        with locked(self._folder):
            if _is_current(folder, stamp):  # another process was quicker
                return
            names = tuple(channel.name for channel in self._config.channels)
            case = load_case(files, names, self._scheme if self._labelled else None, Joining.of(self._config))
            prepared = prepare_case(case, self._config.preprocessing, self._config.channels, self._scheme)
            _write(folder, prepared, len(self._scheme.targets), stamp)

    def _stamp(self, files: CaseFiles, version: Callable[[Path], str]) -> str:
        config = self._config
        settings = [part.model_dump_json() for part in (config.preprocessing, config.labels, *config.channels)]
        label = files.label if self._labelled else None
        channels = sorted((name, one.component, one.series, version(one.path)) for name, one in files.images.items())
        sources = [channels, version(label) if label else None]
        return hashlib.sha256(json.dumps([_FORM, files.id, settings, sources]).encode()).hexdigest()


def foreground_voxels(target: NDArray[np.uint8], targets: int) -> tuple[NDArray[np.int32], ...]:
    """Up to 10 000 voxel indices of each target, spread evenly over it; shape ``(n, 3)`` each."""
    masks = (target == index + 1 for index in range(targets)) if target.ndim == 3 else (one == 1 for one in target)
    return tuple(_spread(mask) for mask in masks)


def labelled_voxels(target: NDArray[np.uint8]) -> NDArray[np.int32] | None:
    """Up to 10 000 voxel indices that are not ignored in every target, spread evenly; None if nothing is ignored."""
    ignored = (target == IGNORE_INDEX) if target.ndim == 3 else (target == IGNORE_INDEX).all(axis=0)
    return _spread(~ignored) if ignored.any() else None


def _spread(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    inside = np.flatnonzero(mask)
    if inside.size > _SAMPLES_PER_TARGET:
        # one of each of as many equal runs: equal steps would fall on the same slices of row after row
        edges = np.arange(_SAMPLES_PER_TARGET + 1) * inside.size // _SAMPLES_PER_TARGET
        inside = inside[np.random.default_rng(0).integers(edges[:-1], edges[1:])]
    return np.stack(np.unravel_index(inside, mask.shape), axis=1).astype(np.int32)


def _version(path: Path) -> str:
    """Changes when the file does, or any file of a folder; one that is missing is left for the reader to explain."""
    if path.is_dir():
        inside = json.dumps([_version(file) for file in list_files(path).files])
        return f"{path.resolve()} {hashlib.sha256(inside.encode()).hexdigest()}"
    if not path.exists():
        return f"{path.resolve()} missing"
    facts = path.stat()
    return f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"


def _folder_name(case: CaseId) -> str:
    """A case id may be any text, and no folder name should say whose it is."""
    return hashlib.sha256(case.encode()).hexdigest()[:20]


def _remove_others(folder: Path, kept: Collection[str]) -> None:
    """Remove what is neither one of the cases nor the lock."""
    if not folder.is_dir() or all(path.name in {*kept, LOCK} for path in folder.iterdir()):
        return
    with locked(folder):
        for path in folder.iterdir():
            if path.name not in {*kept, LOCK}:
                shutil.rmtree(path, ignore_errors=True)


def _is_current(folder: Path, stamp: str) -> bool:
    file = folder / _STAMP
    return file.is_file() and file.read_text(encoding="ascii") == stamp


def _write(folder: Path, prepared: Prepared, targets: int, stamp: str) -> None:
    target = np.zeros(prepared.image.shape[1:], np.uint8) if prepared.target is None else prepared.target
    with atomic_folder(folder) as partial:
        np.save(partial / "image.npy", prepared.image)
        np.save(partial / "target.npy", target)
        foreground = foreground_voxels(target, targets)
        np.save(partial / "foreground.npy", np.concatenate(foreground))
        np.save(partial / "foreground_sizes.npy", np.array([len(voxels) for voxels in foreground]))
        labelled = labelled_voxels(target)
        if labelled is not None:
            np.save(partial / "labelled.npy", labelled)
        for name, grid in (("source", prepared.restoration.source), ("network", prepared.restoration.network)):
            np.savez(partial / f"{name}.npz", shape=grid.shape, affine=grid.affine, unit=grid.unit.value)
        (partial / _STAMP).write_text(stamp, encoding="ascii")
        flush_folder(partial)


def _inside(voxels: NDArray[np.int32], box: Box) -> NDArray[np.int32]:
    """Those of the voxels that lie in a box, counted from its first voxel."""
    start, stop = (np.array([getattr(part, end) for part in box], np.int32) for end in ("start", "stop"))
    found = voxels[((voxels >= start) & (voxels < stop)).all(axis=1)]
    return found[:: max(1, -(-len(found) // _SAMPLES_PER_TARGET_OF_A_PART))] - start


def _open(folder: Path, case: CaseId, box: Box | None = None) -> PreparedArrays:
    image, target, voxels = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in _MAPPED)
    foreground = tuple(np.split(voxels, np.load(folder / "foreground_sizes.npy").cumsum()[:-1]))
    source, network = (_grid(folder / f"{name}.npz") for name in ("source", "network"))
    labelled = np.load(folder / "labelled.npy") if (folder / "labelled.npy").exists() else None
    whole = PreparedArrays(case, image, target, foreground, source, network, labelled)
    return whole if box is None else whole.cropped(box)


def _grid(path: Path) -> Geometry:
    with path.open("rb") as file, np.load(file) as saved:
        i, j, k = saved["shape"].tolist()
        return Geometry((i, j, k), saved["affine"], LengthUnit(str(saved["unit"])))
