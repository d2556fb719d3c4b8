"""Where the parts of a trained nnU-Net lie: model folders below a folder, folds, and what tells about the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from medseg.core.errors import BundleError, InputError, MedsegError
from medseg.core.geometry import Geometry
from medseg.io.nifti import LARGEST_HEADER, decompressed_head, nifti_affine, nifti_header

from .bundle_files import MOST_MEMBERS

CASCADE = "3d_cascade_fullres"
_PARTS = ("dataset.json", "plans.json")
_DEPTHS = ("", "*", "*/*", "*/*/*")
_ALL = "all"
_MOST_LOOKED_AT = 40


@dataclass(frozen=True)
class ModelFolder:
    """One trained configuration: ``TRAINER__PLANS__CONFIGURATION``.

    Attributes:
        path: Holds ``dataset.json``, ``plans.json`` and ``fold_0``, ``fold_1``, … or ``fold_all``.
        folds: Those to take, such as ``0`` and ``all``.
        checkpoint: The file in each fold.
    """

    path: Path
    folds: tuple[str, ...]
    checkpoint: str

    @property
    def checkpoints(self) -> tuple[Path, ...]:
        """The file of each fold."""
        return tuple(self.path / f"fold_{fold}" / self.checkpoint for fold in self.folds)


def find_model(folder: Path, configuration: str | None, folds: Sequence[str] | None, checkpoint: str) -> ModelFolder:
    """The trained configuration in a folder, or in folders below it.

    Args:
        folder: A model folder, or one that holds some, such as nnU-Net's results or an unpacked export.
        configuration: Which, if there are several, such as ``3d_fullres``.
        folds: Which; None for all that are numbered, and ``all`` if there is none.
        checkpoint: File name in each fold.

    Raises:
        InputError: If there is no model, or several fit, or a fold is not there.
        BundleError: If there are too many folds.
    """
    found = _model_folders(folder)
    if not found:
        raise InputError(
            f"no trained nnU-Net lies there: a model folder holds {' and '.join(_PARTS)} beside fold_0, fold_1, ..."
        )
    fitting = [path for path in found if configuration is None or path.name.rpartition("__")[2] == configuration]
    if configuration is None and len(fitting) > 1:
        fitting = [path for path in fitting if path.name.rpartition("__")[2] != CASCADE] or fitting
    if len(fitting) != 1:
        named = ", ".join(path.name for path in found)
        which = "none of them is" if not fitting else f"{len(fitting)} of them are"
        wanted = f"{which} {configuration!r}; name" if configuration else "name"
        raise InputError(
            f"there are {len(found)} trained configurations ({named}): {wanted} one by --configuration, or its folder"
        )
    return ModelFolder(fitting[0], _folds(fitting[0], folds, checkpoint), checkpoint)


def stored_orientation(model: ModelFolder) -> str | None:
    """Where the axes of the training files point, told by what nnU-Net predicted of its validation cases.

    These predictions lie beside the weights, and have the orientation of the images that they were made of. Up to 40 of
    them are looked at.

    Returns:
        Axis codes of i, j, k, such as ``LPS``; None if there is no NIfTI file there, or they differ.
    """
    files = (
        path for fold in model.folds for path in sorted((model.path / f"fold_{fold}" / "validation").glob("*.nii.gz"))
    )
    codes = Counter(_codes(path) for path in islice(files, _MOST_LOOKED_AT))
    return next(iter(codes)) if len(codes) == 1 else None


def postprocessing_file(model: ModelFolder) -> Path | None:
    """``postprocessing.json`` of the cross-validation of these folds, or that in the model folder; None without one."""
    joined = "_".join(sorted(model.folds))
    places = (model.path / f"crossval_results_folds_{joined}", model.path)
    return next((path for place in places if (path := place / "postprocessing.json").is_file()), None)


def has_pickled_postprocessing(model: ModelFolder) -> bool:
    """Whether a ``postprocessing.pkl`` lies where ``postprocessing_file`` found nothing."""
    return any(
        True
        for pattern in ("postprocessing.pkl", "crossval_results_*/postprocessing.pkl")
        for _ in model.path.glob(pattern)
    )


def _model_folders(folder: Path) -> list[Path]:
    """Model folders at the least depth at which there are some."""
    for depth in _DEPTHS:
        places = [folder] if not depth else sorted(path for path in folder.glob(depth) if path.is_dir())
        found = [path for path in places if all((path / part).is_file() for part in _PARTS) and _has_folds(path)]
        if found:
            return found
    return []


def _has_folds(folder: Path) -> bool:
    return any(path.is_dir() for path in folder.glob("fold_*"))


def _folds(folder: Path, wanted: Sequence[str] | None, checkpoint: str) -> tuple[str, ...]:
    there = {path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/{checkpoint}") if path.is_file()}
    numbered = sorted((name for name in there if name.isdecimal()), key=int)
    folds = tuple(numbered or sorted(there & {_ALL})) if wanted is None else tuple(dict.fromkeys(wanted))
    missing = [fold for fold in folds if fold not in there]
    if missing or not folds:
        listed = ", ".join([*numbered, *sorted(there & {_ALL})]) or "none"
        which = f"fold {missing[0]!r} has" if missing else "no fold has"
        raise InputError(f"{which} a {checkpoint}; folds with one: {listed}")
    if len(folds) > MOST_MEMBERS:
        raise BundleError(
            f"a bundle has at most {MOST_MEMBERS} members, the model has {len(folds)} folds; name some by --fold"
        )
    return folds


def _codes(path: Path) -> str | None:
    """Axis codes of a NIfTI file; None if it cannot be read."""
    try:
        affine = nifti_affine(nifti_header(decompressed_head(path, LARGEST_HEADER)))
        return Geometry((1, 1, 1), affine).axis_codes
    except (MedsegError, OSError):
        return None
