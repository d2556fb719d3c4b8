"""NIfTI-1 and NIfTI-2 in one file (``.nii``, ``.nii.gz``)."""

from __future__ import annotations

import io
import math
from contextlib import nullcontext
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from medseg.core.errors import GeometryError, ReadError
from medseg.core.geometry import Geometry, LengthUnit, Shape
from medseg.core.volume import Volume

from .deflate import DAMAGED
from .limits import check_decoded_size, decoding
from .streams import CHUNK, decompressed, gzipped, read_up_to, voxel_parts

LARGEST_HEADER = 540
"""Bytes of the longest header, that of NIfTI-2."""
LARGEST_OFFSET = 64 * 2**20
"""Bytes of header and extensions before the voxels that are allowed."""
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_COLOURS = {128: "RGB", 2304: "RGBA"}


def is_nifti(head: bytes) -> bool:
    """Whether a (decompressed) file that begins with ``head`` is a NIfTI file, one-file or two-file."""
    return _magic(head) in (b"n+1", b"ni1", b"n+2", b"ni2")


def is_two_file_nifti(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is the header of a pair (``.hdr`` and ``.img``)."""
    return _magic(head) in (b"ni1", b"ni2")


def decompressed_head(path: Path, size: int) -> bytes:
    """First bytes of a file, through gzip if it is gzipped; fewer if the file is shorter or damaged."""
    with path.open("rb") as file, decompressed(file) as stream:
        return read_up_to(stream, size)


def read_nifti(path: Path) -> Volume:
    """The image in a NIfTI file; volumes of a 4D file become channels named ``0``, ``1``, ….

    The affine is the sform where its code is set and it is a sound matrix, else the qform where its code is set,
    else the voxel sizes as nibabel lays them out (x flipped, origin at the centre). Lengths in metres or micrometres
    become millimetres. Voxels keep the file's type unless ``scl_slope`` and ``scl_inter`` change them; then they are
    float32. RAS is NIfTI's own world, so nothing is flipped.

    Raises:
        ReadError: If it is no such file, truncated, too large or of a type that is no image (colours, complex).
        GeometryError: If it has no sound affine.
    """
    with decoding(path), path.open("rb") as file, decompressed(file) as stream:
        header = _header(stream)
        channels, shape = _layout(header)
        dtype = _dtype(header)
        check_decoded_size(channels * math.prod(shape) * dtype.itemsize, path.stat().st_size)
        geometry = Geometry(shape, nifti_affine(header))
        array = _voxels(stream, header, dtype, channels * math.prod(shape)).reshape((*shape, channels), order="F")
        names = tuple(str(index) for index in range(channels)) if channels > 1 else ("image",)
        return Volume(_scaled(np.moveaxis(array, -1, 0), header), geometry, names)


def write_nifti(path: Path, array: NDArray[Any], geometry: Geometry) -> None:
    """Write channels of shape ``(channel, i, j, k)`` as 3D, or as 4D if there are several.

    The header is new: nothing of a source's header gets into it. Sform and qform say the same (scanner, in mm), or the
    sform alone where the grid is sheared, which a qform cannot say. ``.gz`` is packed fast (level 1), without a name
    or a time in it.
    """
    image_class = nib.Nifti2Image if max(geometry.shape) > np.iinfo(np.int16).max else nib.Nifti1Image
    data = array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)
    image = image_class(data, geometry.affine, dtype=data.dtype)
    image.set_sform(geometry.affine, code=1)
    image.set_qform(geometry.affine, code=1)
    if not np.allclose(image.get_qform(), geometry.affine, atol=1e-3):
        image.set_qform(None, code=0)
    image.header.set_xyzt_units(xyz="mm" if geometry.unit is LengthUnit.MM else None)
    is_packed = path.name.endswith(".gz")
    with path.open("wb") as file, gzipped(file) if is_packed else nullcontext(file) as stream:
        stream.write(_encoded_header(image))
        for index in range(len(array)):
            for part in voxel_parts(array[index : index + 1]):
                stream.write(part)


def _encoded_header(image: Any) -> bytes:
    """All that stands before the voxels of an image whose voxels are stored as they are."""
    image.update_header()
    image.header.set_slope_inter(1.0, 0.0)
    stream = io.BytesIO()
    image.header.write_to(stream)
    return stream.getvalue()


def nifti_header(head: bytes) -> Any:
    """The header in the first 540 bytes of a file, as nibabel has it, unchecked and in the file's byte order.

    Raises:
        ReadError: If they are not those of a NIfTI file.
    """
    magic = _magic(head)
    if magic in (b"n+2", b"ni2") and len(head) >= LARGEST_HEADER:
        return nib.Nifti2Header(head[:LARGEST_HEADER], check=False)
    if magic in (b"n+1", b"ni1") and len(head) >= 348:
        return nib.Nifti1Header(head[:348], check=False)
    raise ReadError("not a NIfTI file, or truncated within its header")


def _magic(head: bytes) -> bytes:
    """The three letters that name the version, where the size of the header says that they lie."""
    if head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
        return head[344:347]
    return head[4:7] if head[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else b""


def _header(stream: BufferedIOBase) -> Any:
    head = read_up_to(stream, LARGEST_HEADER)
    if is_two_file_nifti(head):
        raise ReadError("the header of a two-file NIfTI (.hdr and .img); save it as one .nii.gz file")
    return nifti_header(head)


def _layout(header: Any) -> tuple[int, Shape]:
    """Channels and shape; 2D is one slice, and of the dimensions after the third only one may be longer than 1."""
    dimensions = int(header["dim"][0])
    sizes = [int(size) for size in header["dim"][1 : dimensions + 1]]
    if not 2 <= dimensions <= 7 or min(sizes) < 1:
        raise ReadError(f"dimensions {header['dim'].tolist()} are not those of an image")
    channels = [size for size in sizes[3:] if size > 1] or [1]
    if len(channels) > 1:
        raise ReadError(f"has {len(sizes)} dimensions {tuple(sizes)}; volumes and series of volumes are read")
    return channels[0], (sizes[0], sizes[1], sizes[2] if dimensions > 2 else 1)


def _dtype(header: Any) -> np.dtype[Any]:
    code = int(header["datatype"])
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise ReadError(f"data type {code} is none of NIfTI's") from error
    if code in _COLOURS:
        raise ReadError(f"stores {_COLOURS[code]} colours; save it with one volume a colour (4D)")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ReadError(f"stores {dtype.name} voxels; integers and floats of up to 64 bits are read")
    return dtype


def nifti_voxel_offset(header: Any) -> int:
    """Where the voxels begin in a one-file NIfTI.

    Raises:
        ReadError: If they cannot begin there.
    """
    header_size = int(header["sizeof_hdr"])
    offset = float(header["vox_offset"]) or header_size + 4
    if not header_size <= offset <= LARGEST_OFFSET:  # also false for NaN
        raise ReadError(f"its voxels start at byte {offset:g}, which cannot be")
    return int(offset)


def _voxels(stream: BufferedIOBase, header: Any, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    offset = nifti_voxel_offset(header)
    array: NDArray[Any] = np.empty(count, dtype=dtype)
    try:
        stream.seek(offset)
        filled = _fill(stream, array.view(np.uint8))
    except DAMAGED:
        filled = False
    if not filled:
        raise ReadError(f"truncated or damaged; its header promises {array.nbytes} bytes of voxels")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _fill(stream: BufferedIOBase, target: NDArray[np.uint8]) -> bool:
    """Fill ``target``, in parts so that no second copy of the voxels is held; False if the stream is too short."""
    for start in range(0, len(target), CHUNK):
        part = target[start : start + CHUNK]
        if stream.readinto(part.data) < len(part):
            return False
    stream.read(1)  # reaches gzip's checksum
    return True


def nifti_affine(header: Any) -> NDArray[np.float64]:
    """RAS affine in mm of the first of sform, qform and voxel sizes that is set and sound.

    Raises:
        GeometryError: If none is.
    """
    sources = [header.get_sform] if header["sform_code"] > 0 else []
    sources += [partial(_qform, header)] if header["qform_code"] > 0 else []
    problem: Exception | None = None
    for source in sources or [header.get_base_affine]:
        try:
            affine = np.array(source(), dtype=np.float64)
        except (HeaderDataError, ValueError) as error:
            problem = error
            continue
        if np.isfinite(affine).all() and np.linalg.det(affine[:3, :3]) != 0:
            affine[:3] *= _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
            return affine
    if problem is not None:
        raise GeometryError("its orientation (qform) cannot be understood") from problem
    raise GeometryError("its affine is singular or not finite")


def _qform(header: Any) -> NDArray[np.float64]:
    """The qform with the repairs that nifti1.h asks for: a qfac of 0 is 1, and sizes of voxels are positive."""
    header = header.copy()
    sizes = header["pixdim"]
    sizes[0] = sizes[0] if sizes[0] in (-1, 1) else 1
    sizes[1:4] = np.abs(sizes[1:4])
    affine: NDArray[np.float64] = header.get_qform()
    return affine


def _scaled(array: NDArray[Any], header: Any) -> NDArray[Any]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(slope) or slope == 0 or (slope, intercept) == (1.0, 0.0):
        return array
    if not math.isfinite(intercept):
        raise ReadError("its intensity intercept (scl_inter) is not finite")
    scaled = array.astype(np.float32)
    scaled *= np.float32(slope)
    scaled += np.float32(intercept)
    return scaled
