"""Through SimpleITK: reading of NRRD, self-contained files only, and writing of NRRD and MetaImage."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own documentation uses)
from numpy.typing import NDArray

from medseg.core.errors import OutputError, ReadError
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume

from .limits import check_decoded_size, decoding

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LONGEST_HEADER = 2**20
_NRRD = re.compile(rb"NRRD000\d")
_SIZES = {
    sitk.sitkInt8: 1, sitk.sitkUInt8: 1, sitk.sitkInt16: 2, sitk.sitkUInt16: 2, sitk.sitkInt32: 4, sitk.sitkUInt32: 4,
    sitk.sitkInt64: 8, sitk.sitkUInt64: 8, sitk.sitkFloat32: 4, sitk.sitkFloat64: 8,
    sitk.sitkVectorInt8: 1, sitk.sitkVectorUInt8: 1, sitk.sitkVectorInt16: 2, sitk.sitkVectorUInt16: 2,
    sitk.sitkVectorInt32: 4, sitk.sitkVectorUInt32: 4, sitk.sitkVectorInt64: 8, sitk.sitkVectorUInt64: 8,
    sitk.sitkVectorFloat32: 4, sitk.sitkVectorFloat64: 8,
}  # fmt: skip


def is_nrrd(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is NRRD."""
    return _NRRD.match(head) is not None


def read_nrrd(path: Path) -> Volume:
    """The image in an NRRD file; components, or volumes of a 4D file, become channels ``0``, ``1``, ….

    The text header is looked at before SimpleITK sees the file, so that a header that points to another file is
    refused and never followed. ITK's LPS world becomes RAS. 2D images become one slice. A file that names no world
    (``space: scanner-xyz``, or none) is taken as LPS, as every program built on ITK does.

    Raises:
        ReadError: If it is no such file, detached, truncated, too large or of a type that is no image.
        GeometryError: If its grid is broken.
    """
    with decoding(path):
        with path.open("rb") as file:
            head = file.read(_LONGEST_HEADER)
        _refuse_detached(head)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("NrrdImageIO")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        _check_header(reader, path.stat().st_size)
        image = reader.Execute()
        array = _channels_first(sitk.GetArrayFromImage(image), image)
        names = tuple(str(index) for index in range(len(array))) if len(array) > 1 else ("image",)
        geometry = Geometry((array.shape[1], array.shape[2], array.shape[3]), _LPS_TO_RAS @ _affine(image))
        return Volume(array, geometry, names)


def write_itk(path: Path, array: NDArray[Any], geometry: Geometry) -> None:
    """Write channels of shape ``(channel, i, j, k)``, compressed, as a vector image if there are several.

    Raises:
        OutputError: If the disk is full.
    """
    voxels = np.ascontiguousarray(array.transpose(3, 2, 1, 0))
    image = sitk.GetImageFromArray(voxels if len(array) > 1 else voxels[..., 0], isVector=len(array) > 1)
    affine = _LPS_TO_RAS @ geometry.affine
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / geometry.spacing).ravel().tolist())
    try:
        sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=1)
    except RuntimeError as error:
        raise OutputError(
            f"cannot write {path.suffix} file: the disk is full or not writable; nothing half-written was left behind"
        ) from error


def _refuse_detached(head: bytes) -> None:
    for line in head.replace(b"\r", b"\n").decode("latin-1").split("\n"):
        if not line:
            return
        key = line.partition(":")[0]
        if not line.startswith("#") and re.sub(r"\s", "", key).lower() == "datafile":
            raise ReadError("its header points to another file; save header and voxels as one .nrrd file")
    raise ReadError("its header has no end")


def _check_header(reader: sitk.ImageFileReader, stored: int) -> None:
    size = reader.GetSize()
    if reader.GetPixelID() not in _SIZES:
        raise ReadError("stores voxels of a type that is no image (complex numbers or the like)")
    components = reader.GetNumberOfComponents()
    if len(size) not in (2, 3, 4) or (len(size) == 4 and components > 1 and size[3] > 1):
        raise ReadError(f"has {len(size)} dimensions; volumes and series of volumes are read")
    check_decoded_size(math.prod(size) * components * _SIZES[reader.GetPixelID()], stored)


def _channels_first(array: NDArray[Any], image: sitk.Image) -> NDArray[Any]:
    """SimpleITK's ``([volume,] [k,] j, i [, component])`` as ``(channel, i, j, k)``."""
    if image.GetNumberOfComponentsPerPixel() == 1:
        array = array[..., np.newaxis]
    if image.GetDimension() == 2:
        array = array[np.newaxis]
    if image.GetDimension() == 4:
        array = array[..., 0].transpose(1, 2, 3, 0) if array.shape[-1] == 1 else array[0]
    return np.ascontiguousarray(array.transpose(3, 2, 1, 0)) if array.shape[-1] > 1 else array.transpose(3, 2, 1, 0)


def _affine(image: sitk.Image) -> NDArray[np.float64]:
    """LPS affine; a 2D image lies in the plane z = 0."""
    dimensions = image.GetDimension()
    spatial = min(dimensions, 3)
    direction = np.reshape(image.GetDirection(), (dimensions, dimensions))[:spatial, :spatial]
    affine = np.eye(4)
    affine[:spatial, :spatial] = direction * np.array(image.GetSpacing())[:spatial]
    affine[:spatial, 3] = image.GetOrigin()[:spatial]
    return affine
