"""Reading DICOM series, plain and compressed, beside the peers.

    python benchmarks/reading.py [--series FOLDER] [--slices 300]

Each contestant has a process of its own, and all take turns; CPU seconds, wall seconds and memory are those of the
process. Series are generated (512 x 512, turned in the plane, instance numbers in no order); a real one may be given.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from contest import Job, Make, Score, compete
from numpy.typing import NDArray
from reading_material import SYNTAXES, Truth, compressed, generated

Grid = tuple[NDArray[np.generic], NDArray[np.float64]]
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_PACKAGES = ("medseg", "numpy", "pydicom", "SimpleITK", "monai")


def medseg_find_and_read(folder: Path) -> Job:
    """What ``medseg predict FOLDER`` does first."""
    from medseg.io.dicom_read import read_series
    from medseg.io.studies import find_series

    return lambda: read_series(find_series(folder).series[0])


def medseg_read(folder: Path) -> Job:
    """The series is known already; all headers are read again and checked."""
    from medseg.io.dicom_read import read_series
    from medseg.io.studies import find_series

    return partial(read_series, find_series(folder).series[0])


def simpleitk(folder: Path) -> Job:
    """Finding the files in order, and reading them."""
    import SimpleITK as sitk  # noqa: N813 - its usual name

    def read() -> object:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
        return reader.Execute()

    return read


def pydicom_numpy(folder: Path) -> Job:
    """What most scripts do, with slices in order of their positions."""
    import pydicom

    def read() -> Grid:
        datasets = [pydicom.dcmread(path) for path in folder.iterdir()]
        row, column = np.reshape(datasets[0].ImageOrientationPatient, (2, 3)).astype(float)
        datasets.sort(key=lambda one: float(np.cross(row, column) @ np.array(one.ImagePositionPatient, float)))
        array = np.stack([one.pixel_array.T for one in datasets], axis=-1).astype(np.int16)
        array = array * np.int16(datasets[0].RescaleSlope) + np.int16(datasets[0].RescaleIntercept)
        affine = np.eye(4)
        positions = [np.array(datasets[index].ImagePositionPatient, float) for index in (0, -1)]
        affine[:3, 0], affine[:3, 1] = row * datasets[0].PixelSpacing[1], column * datasets[0].PixelSpacing[0]
        affine[:3, 2] = (positions[1] - positions[0]) / max(1, len(datasets) - 1)
        affine[:3, 3] = positions[0]
        return array, LPS_TO_RAS @ affine

    return read


def monai(kind: str, folder: Path) -> Job:
    """A reader of MONAI's, on the files of the folder."""
    from monai.data import ITKReader, PydicomReader

    reader = ITKReader() if kind == "ITKReader" else PydicomReader()

    def read() -> Grid:
        array, facts = reader.get_data(reader.read(str(folder)))
        return np.asarray(array), np.asarray(facts["affine"], float)

    return read


READERS: dict[str, Callable[[Path], Job]] = {
    "SimpleITK, series found and read": simpleitk,
    "medseg, series found and read": medseg_find_and_read,
    "medseg, read alone": medseg_read,
    "pydicom and numpy": pydicom_numpy,
    "MONAI ITKReader": partial(monai, "ITKReader"),
    "MONAI PydicomReader": partial(monai, "PydicomReader"),
}
RIVAL = "SimpleITK, series found and read"


def main() -> None:
    """Run all contests and record them."""
    from record import record

    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        listing = series_tables(Path(folder), options)
    if options.no_record:
        print(listing)
    else:
        record("reading", listing, _PACKAGES)


def parse() -> argparse.Namespace:
    """The size of the job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=Path, help="folder of one real series")
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--compressed-slices", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-record", action="store_true", help="only print; leave docs/benchmarks.md alone")
    return parser.parse_args()


def series_tables(folder: Path, options: argparse.Namespace) -> str:
    """A table of the plain series, one of the compressed ones, and one of the real series if there is one."""
    from record import table

    plain = folder / "plain"
    truth = generated(plain, (512, 512, options.slices))
    texts = [f"{options.slices} slices of 512 x 512, 16 bits, not compressed:", table(contest(plain, truth, options))]
    small = folder / "small"
    small_truth = generated(small, (512, 512, options.compressed_slices), seed=1)
    rows: list[dict[str, object]] = []
    for name, syntax in SYNTAXES.items():
        compressed(small, folder / name, syntax)
        few = {one: READERS[one] for one in list(READERS)[:4]}
        rows += [{"syntax": name, **row} for row in contest(folder / name, small_truth, options, few)]
    texts += [f"{options.compressed_slices} slices of 512 x 512, compressed without loss:", table(rows)]
    if options.series:
        count = sum(1 for _ in options.series.iterdir())
        real = contest(options.series, simpleitk_truth(options.series, folder), options)
        texts += [f"A real CT series of {count} files (voxels as SimpleITK reads them):", table(real)]
    return "\n\n".join(texts)


def contest(
    folder: Path,
    truth: Truth,
    options: argparse.Namespace,
    readers: Mapping[str, Callable[[Path], Job]] = READERS,
) -> list[dict[str, object]]:
    """A row a reader."""
    makes: dict[str, Make] = {name: partial(make, folder) for name, make in readers.items()}
    scores = compete(makes, dict.fromkeys(makes, partial(compared, truth)), options.repeats)
    return [score_row(name, score, scores[RIVAL]) for name, score in scores.items()]


def score_row(name: str, score: Score | str, rival: Score | str) -> dict[str, object]:
    """What a contestant took, and how many times less than SimpleITK."""
    if isinstance(score, str) or isinstance(rival, str):
        return {"": name, "CPU s": "-", "wall s": "-", "CPU, wall: times faster": "-", "peak MiB": "-", "result": score}
    faster = f"{rival.cpu_s / score.cpu_s:.1f}, {rival.wall_s / score.wall_s:.1f}"
    return {
        "": name,
        "CPU s": f"{score.cpu_s:.3f}",
        "wall s": f"{score.wall_s:.3f}",
        "CPU, wall: times faster": faster,
        "peak MiB": f"{score.peak_mib:.0f}",
        "result": score.checked,
    }


def compared(truth: Truth, result: Any) -> str:
    """Whether what a reader gave is true; runs in the reader's process."""
    return truth.compared(*as_grid(result))


def as_grid(result: Any) -> Grid:
    """Voxels ``(i, j, k)`` and RAS affine of whatever a reader gave."""
    if isinstance(result, tuple):
        return result
    if hasattr(result, "geometry"):
        return result.array[0], result.geometry.affine
    import SimpleITK as sitk  # noqa: N813 - its usual name

    affine = np.eye(4)
    affine[:3, :3] = np.reshape(result.GetDirection(), (3, 3)) * result.GetSpacing()
    affine[:3, 3] = result.GetOrigin()
    return sitk.GetArrayFromImage(result).T, LPS_TO_RAS @ affine


def simpleitk_truth(series: Path, folder: Path) -> Truth:
    """What SimpleITK reads, as the truth of a series whose own is not known."""
    array, affine = as_grid(simpleitk(series)())
    truth = Truth(folder / "real.npy", folder / "real.affine.npy")
    np.save(truth.voxels, array)
    np.save(truth.affine, affine)
    return truth


if __name__ == "__main__":
    main()
