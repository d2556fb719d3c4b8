"""Writing and reading gzipped NIfTI beside the peers.

    python benchmarks/packing.py

Each contestant has a process of its own, and all take turns; CPU seconds are those of the process. All read the file
that nibabel wrote.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from contest import Job, Make, Score, compete
from numpy.typing import NDArray
from reading import as_grid

_PACKAGES = ("medseg", "numpy", "isal", "nibabel", "SimpleITK")


def main() -> None:
    """Run the contests and record them."""
    from record import record

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-record", action="store_true", help="only print; leave docs/benchmarks.md alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        listing = gzip_table(Path(folder), options.repeats)
    if options.no_record:
        print(listing)
    else:
        record("gzip", listing, _PACKAGES)


def material() -> dict[str, NDArray[Any]]:
    """A CT image, int16 as noisy as a real one, and labels of twenty organs, uint8."""
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in (256, 256, 150)), indexing="ij")
    body = (x / 0.85) ** 2 + (y / 0.6) ** 2 < 1
    image = np.where(body, rng.normal(40, 18, body.shape), -1000).astype(np.int16)
    labels = np.zeros(body.shape, np.uint8)
    for value in range(1, 21):
        centre, radius = rng.uniform(-0.5, 0.5, 3), rng.uniform(0.08, 0.25)
        labels[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < radius**2] = value
    return {"image, int16": image, "labels, uint8": labels}


def medseg_write(array: NDArray[Any], path: Path, *, fast: bool) -> Job:
    """Through ISA-L, or through the standard library."""
    from medseg.core.geometry import Geometry
    from medseg.io import nifti

    set_library(fast=fast)
    return partial(nifti.write_nifti, path, array[np.newaxis], Geometry.from_spacing(array.shape))


def medseg_read_nifti(path: Path, *, fast: bool) -> Job:
    """Likewise."""
    from medseg.io import nifti

    set_library(fast=fast)
    return lambda: np.asarray(nifti.read_nifti(path).array[0])


def set_library(*, fast: bool) -> None:
    """Which library packs and unpacks in this process."""
    from medseg.io import deflate

    if not fast:
        deflate.igzip = deflate.isal_zlib = None


def nibabel_write(array: NDArray[Any], path: Path) -> Job:
    """As nibabel does it unasked."""
    import nibabel as nib

    return lambda: nib.save(nib.Nifti1Image(array, np.eye(4), dtype=array.dtype), path)


def nibabel_read(path: Path) -> Job:
    """The stored voxels, without making them float64."""
    import nibabel as nib

    return lambda: np.asanyarray(nib.load(path).dataobj)


def simpleitk_write(array: NDArray[Any], path: Path) -> Job:
    """As SimpleITK does it when it is told to compress."""
    import SimpleITK as sitk  # noqa: N813 - its usual name

    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    return lambda: sitk.WriteImage(image, str(path), useCompression=True)


def simpleitk_read(path: Path) -> Job:
    """The image alone, not its array."""
    import SimpleITK as sitk  # noqa: N813 - its usual name

    return lambda: sitk.ReadImage(str(path))


def gzip_table(folder: Path, repeats: int) -> str:
    """Writing and reading .nii.gz."""
    from record import table

    rows: list[dict[str, object]] = []
    for kind, array in material().items():
        paths = {name: folder / f"{name}.nii.gz" for name in ("isal", "zlib", "nibabel", "simpleitk")}
        writes: dict[str, Make] = {
            "medseg (ISA-L)": partial(medseg_write, array, paths["isal"], fast=True),
            "medseg (zlib)": partial(medseg_write, array, paths["zlib"], fast=False),
            "nibabel": partial(nibabel_write, array, paths["nibabel"]),
            "SimpleITK": partial(simpleitk_write, array, paths["simpleitk"]),
        }
        sizes = {name: partial(mebibytes, path) for name, path in zip(writes, paths.values(), strict=True)}
        written = compete(writes, sizes, repeats)
        reads: dict[str, Make] = {
            "medseg (ISA-L)": partial(medseg_read_nifti, paths["nibabel"], fast=True),
            "medseg (zlib)": partial(medseg_read_nifti, paths["nibabel"], fast=False),
            "nibabel": partial(nibabel_read, paths["nibabel"]),
            "SimpleITK": partial(simpleitk_read, paths["nibabel"]),
        }
        read = compete(reads, dict.fromkeys(reads, partial(same, array)), repeats)
        rows += [gzip_row(kind, name, written, read) for name in writes]
    return table(rows)


def mebibytes(path: Path, _: object) -> str:
    """Size of a file."""
    return f"{path.stat().st_size / 2**20:.2f}"


def same(array: NDArray[Any], result: Any) -> str:
    """Whether what was read is what was written."""
    found = result if isinstance(result, np.ndarray) else as_grid(result)[0]
    return "equal" if np.array_equal(found, array) else "other voxels"


def gzip_row(
    kind: str, name: str, written: Mapping[str, Score | str], read: Mapping[str, Score | str]
) -> dict[str, object]:
    """What a library took to write and to read, and how many times less than nibabel."""
    row: dict[str, object] = {"256 x 256 x 150": kind, "by": name}
    for deed, scores in (("write", written), ("read", read)):
        score, rival = scores[name], scores["nibabel"]
        known = isinstance(score, Score) and isinstance(rival, Score)
        row[f"{deed} CPU s"] = f"{score.cpu_s:.3f}" if known else score
        row[f"{deed}: times faster"] = f"{rival.cpu_s / score.cpu_s:.1f}" if known else "-"
        row["MiB" if deed == "write" else "read"] = score.checked if known else "-"
    return row


if __name__ == "__main__":
    main()
