"""A case as a browser gets it, and what a browser sends back."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import nibabel as nib
import numpy as np
from factories import geometry, label_map, scheme, volume
from review_places import ANNA, CASE

from medseg.config.review import ReviewLimits
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import Labels, MultiLabelMap, Volume
from medseg.review.case_files import CaseFiles
from medseg.review.open_case import OpenCase
from medseg.review.records import CaseRecord, Origin, Version
from medseg.review.review_copy import Factor, copy_grid, copy_notice
from medseg.review.served import Served, ServedLabels, served_image, served_labels
from medseg.review.tickets import MaskGrant

SCHEME = scheme("liver", "spleen")
LIMITS = ReviewLimits()


def opened_case(volume: Volume, labels: Labels, labelled: LabelScheme = SCHEME) -> OpenCase:
    """A case that was never in a file."""
    files = CaseFiles(CASE, Origin.FOLDER, (), CaseRecord(CASE, Origin.FOLDER))
    return OpenCase(files, volume, Segmentation(labels, labelled), labelled)


def small_case(grid: Geometry | None = None) -> OpenCase:
    """Random voxels and labels."""
    grid = grid or geometry()
    return opened_case(volume(grid), label_map(grid))


def masks(grid: Geometry, names=SCHEME.names, seed=0) -> MultiLabelMap:
    """Masks that overlap."""
    return MultiLabelMap(np.random.default_rng(seed).random((len(names), *grid.shape)) < 0.4, grid, names)


def shown(case: OpenCase, folder: Path, target: str | None = None) -> ServedLabels:
    """The files of a case for the browser."""
    folder.mkdir(exist_ok=True)
    return served_labels(case.prediction, served_image(case.volume, folder, LIMITS), target)


def shown_copy(case: OpenCase, folder: Path, factor: Factor, target: str | None = None) -> ServedLabels:
    """The same as a review copy, which cases of this size are not."""
    grid = case.volume.geometry
    image = Served(folder / "image.nii", grid, copy_grid(grid, factor), factor, copy_notice(grid, factor))
    return served_labels(case.prediction, image, target)


def base_of(number=0, sha256="ab" * 32) -> Version:
    """A version to go on from."""
    return Version(CASE, number, None, "organs", 1.5e9, sha256)


def mask_grant(labels: ServedLabels, base: Version | None = None) -> MaskGrant:
    """Leave for a reader to send masks."""
    return MaskGrant(CASE, ANNA, base or base_of(), labels)


def saved_by_browser(array: np.ndarray, affine: np.ndarray, packed=True, **fields) -> bytes:
    """A drawing as NiiVue saves it: the image's header, but uint8, with no scaling; ``fields`` of it may be changed."""
    header = nib.Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["vox_offset"], header["magic"], header["xyzt_units"] = 352, b"n+1", 10
    for name, value in fields.items():
        header[name] = value
    content = bytes(header.binaryblock) + bytes(4) + array.tobytes(order="F")
    return gzip.compress(content) if packed else content


def body_of(labels: ServedLabels, array: np.ndarray | None = None, **fields) -> bytes:
    """What the browser sends after an edit, or after none."""
    array = np.array(labels.array()) if array is None else array
    return saved_by_browser(array, labels.served.affine, **fields)


def stream_of(body: bytes) -> io.BytesIO:
    """A body to read from."""
    return io.BytesIO(body)
