"""What the benchmarks of reading work on: generated CT series, plain or compressed, with what is true of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gdcm
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.phantom.instances import SeriesHeader, StudyHeader, random_uid, write_series
from medseg.phantom.people import Person, Visit

SYNTAXES = {
    "RLE": RLELossless,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
    "JPEG lossless": JPEGLosslessSV1,
}
_ENCODERS = {RLELossless: "pylibjpeg", JPEGLSLossless: "pyjpegls", JPEG2000Lossless: "pylibjpeg"}
_SPACING = (0.8, 0.8, 1.0)
_TURN_DEGREES = 7.0


@dataclass(frozen=True)
class Truth:
    """Voxels and RAS affine of a series, in files that each process reads for itself."""

    voxels: Path
    affine: Path

    def compared(self, array: NDArray[np.generic], affine: NDArray[np.float64]) -> str:
        """Whether voxels ``(i, j, k)`` and their affine are these; axes may be turned round together with it."""
        wanted, grid = np.load(self.voxels, mmap_mode="r"), np.load(self.affine)
        for axis in range(3):
            if grid[:3, axis] @ affine[:3, axis] < 0:
                array = np.flip(array, axis)
                affine = affine.copy()
                affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
                affine[:3, axis] *= -1
        same = array.shape == wanted.shape
        if not same or not all(np.array_equal(array[..., k], wanted[..., k]) for k in range(array.shape[2])):
            return "other voxels"
        off = float(np.abs(affine - grid).max())
        return "equal" if off < 1e-3 else f"grid off by {off:.2g} mm"


def generated(folder: Path, shape: tuple[int, int, int], seed: int = 0) -> Truth:
    """A CT series of noisy ellipses in air, turned in the plane; names and instance numbers follow no order."""
    rng = np.random.default_rng(seed)
    grid = Geometry.from_spacing(shape, _SPACING)
    angle = np.deg2rad(_TURN_DEGREES)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ turn @ grid.affine
    array = np.stack([_slice(shape, k / shape[2], rng) for k in range(shape[2])], axis=-1)
    volume = Volume(array[np.newaxis], Geometry(shape, affine), ("CT",))
    visit = Visit.draw(rng, Person.draw(rng, "F"))
    study = StudyHeader(visit, random_uid(rng), random_uid(rng))
    write_series(folder, [volume], study, SeriesHeader(2, "Torso venous", "AXIAL"), rng)
    truth = Truth(folder.with_suffix(".npy"), folder.with_suffix(".affine.npy"))
    np.save(truth.voxels, array)
    np.save(truth.affine, affine)
    return truth


def compressed(source: Path, target: Path, syntax: UID) -> None:
    """The files of a series in another transfer syntax, losslessly."""
    target.mkdir()
    for path in sorted(source.iterdir()):
        if syntax in _ENCODERS:
            dataset = pydicom.dcmread(path)
            dataset.compress(syntax, encoding_plugin=_ENCODERS[syntax], generate_instance_uid=False)
            dataset.save_as(target / path.name)
        else:
            _recode(path, target / path.name, syntax)


def _slice(shape: tuple[int, int, int], height: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Air, a body of soft tissue, and an organ in it."""
    x, y = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    plane = np.full(shape[:2], -1000.0, np.float32)
    body = (x / 0.85) ** 2 + (y / 0.6) ** 2 < 1
    organ = ((x - 0.3) / 0.3) ** 2 + (y / 0.35) ** 2 < np.sin(np.pi * height) ** 2
    plane[body] = 40
    plane[organ] = 110
    plane[body] += rng.normal(0, 18, int(body.sum())).astype(np.float32)
    return plane.astype(np.int16)


def _recode(path: Path, target: Path, syntax: UID) -> None:
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    if not reader.Read():
        raise OSError("GDCM cannot read a generated slice")
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise OSError("GDCM cannot compress a generated slice")
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise OSError("GDCM cannot write a generated slice")
