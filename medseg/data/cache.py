"""Preprocessed cases on disk: written once, atomically, and memory-mapped from then on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.config.sections import RunConfig
from medseg.core.case import CaseId
from medseg.core.files import atomic_folder
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.transforms.preprocess import Prepared, prepare_case

from .dataset import CaseFiles
from .load import load_case

_SAMPLES_PER_TARGET = 10_000
_FORM = 2  # of the files; another number makes all cases anew


@dataclass(frozen=True, eq=False)
class PreparedArrays:
    """One case as the network sees it.

    Attributes:
        id: The case.
        image: float32, shape ``(channel, i, j, k)``, memory-mapped.
        target: uint8, class indices ``(i, j, k)``, or 0/1/255 masks ``(target, i, j, k)`` where targets overlap.
        foreground: For each target up to 10 000 of its voxels, shape ``(n, 3)``.
        source: The grid of the image before preprocessing.
        network: The grid of ``image`` and ``target``.
    """

    id: CaseId
    image: NDArray[np.float32]
    target: NDArray[np.uint8]
    foreground: tuple[NDArray[np.int32], ...]
    source: Geometry
    network: Geometry


class PreparedCases:
    """The preprocessed cases of one run in one folder.

    A case is prepared when its folder is missing or was made from other files or settings; an interrupted run loses
    the case that it was at, no more.
    """

    def __init__(self, folder: Path, config: RunConfig, scheme: LabelScheme) -> None:
        self._folder = folder
        self._config = config
        self._scheme = scheme

    def prepare(self, cases: Iterable[CaseFiles], progress: Progress = SILENT) -> list[PreparedArrays]:
        """Prepare what is missing and open all, in the order given.

        Raises:
            DataError: If a case cannot be read or does not fit the scheme.
        """
        wanted = list(cases)
        progress.start("preparing cases", len(wanted))
        opened = []
        for number, files in enumerate(wanted):
            # Numbered folders: a case id may be any text, and no folder name should say whose it is.
            folder = self._folder / f"{number:05d}"
            stamp = self._stamp(files)
            if not _is_current(folder, stamp):
                case = load_case(files, tuple(c.name for c in self._config.channels), self._scheme)
                prepared = prepare_case(case, self._config.preprocessing, self._config.channels, self._scheme)
                _write(folder, prepared, len(self._scheme.targets), stamp)
            opened.append(_open(folder, files.id, len(self._scheme.targets)))
            progress.advance()
        return opened

    def _stamp(self, files: CaseFiles) -> str:
        config = self._config
        settings = [part.model_dump_json() for part in (config.preprocessing, config.labels, *config.channels)]
        paths = [*(image.path for image in files.images.values()), *([files.label] if files.label else [])]
        sources = [_version(path) for path in paths]
        return hashlib.sha256(json.dumps([_FORM, files.id, settings, sources]).encode()).hexdigest()


def foreground_voxels(target: NDArray[np.uint8], targets: int) -> tuple[NDArray[np.int32], ...]:
    """Up to 10 000 voxel indices of each target, spread evenly over it; shape ``(n, 3)`` each."""
    masks = (target == index + 1 for index in range(targets)) if target.ndim == 3 else (one == 1 for one in target)
    return tuple(_spread(mask) for mask in masks)


def _spread(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    inside = np.flatnonzero(mask)
    step = max(1, -(-inside.size // _SAMPLES_PER_TARGET))
    return np.stack(np.unravel_index(inside[::step], mask.shape), axis=1).astype(np.int32)


def _version(path: Path) -> str:
    """Changes when the file does; a file that is missing is left for the reader to explain."""
    if not path.exists():
        return f"{path.resolve()} missing"
    facts = path.stat()
    return f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"


def _is_current(folder: Path, stamp: str) -> bool:
    file = folder / "stamp.txt"
    return file.is_file() and file.read_text(encoding="ascii") == stamp


def _write(folder: Path, prepared: Prepared, targets: int, stamp: str) -> None:
    assert prepared.target is not None  # noqa: S101 - only labelled cases come here
    with atomic_folder(folder) as partial:
        np.save(partial / "image.npy", prepared.image)
        np.save(partial / "target.npy", prepared.target)
        for index, voxels in enumerate(foreground_voxels(prepared.target, targets)):
            np.save(partial / f"foreground{index}.npy", voxels)
        for name, grid in (("source", prepared.restoration.source), ("network", prepared.restoration.network)):
            np.savez(partial / f"{name}.npz", shape=grid.shape, affine=grid.affine, unit=grid.unit.value)
        (partial / "stamp.txt").write_text(stamp, encoding="ascii")


def _open(folder: Path, case: CaseId, targets: int) -> PreparedArrays:
    foreground = tuple(np.load(folder / f"foreground{index}.npy") for index in range(targets))
    image, target = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("image", "target"))
    source, network = (_grid(folder / f"{name}.npz") for name in ("source", "network"))
    return PreparedArrays(case, image, target, foreground, source, network)


def _grid(path: Path) -> Geometry:
    with np.load(path) as saved:
        i, j, k = saved["shape"].tolist()
        return Geometry((i, j, k), saved["affine"], LengthUnit(str(saved["unit"])))
