"""What other programs make of our contours, and what we make of theirs: plastimatch and dciodvfy."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from contour_objects import HEADER, hard_structures, source_of
from dicom_factories import OBLIQUE, Grid

from medseg.core.geometry import Geometry
from medseg.core.labels import CodedConcept, LabelScheme, Laterality
from medseg.core.segmentation import Segmentation
from medseg.io.dicom_read import read_series
from medseg.io.rtstruct_read import read_structure_set
from medseg.io.rtstruct_write import write_structure_set
from medseg.io.studies import find_series

PLASTIMATCH = shutil.which("plastimatch", path=str(Path(sys.executable).parent)) or shutil.which("plastimatch")
DCIODVFY = shutil.which("dciodvfy")
needs_plastimatch = pytest.mark.skipif(PLASTIMATCH is None, reason="needs plastimatch (PyPI package of that name)")
needs_dciodvfy = pytest.mark.skipif(DCIODVFY is None, reason="needs dciodvfy (Debian package dicom3tools)")
GRIDS = {
    "axis-aligned": Grid(columns=60, rows=48, slices=12),
    "oblique": Grid(columns=60, rows=48, slices=12, tilt_degrees=OBLIQUE.tilt_degrees),
}


def by_plastimatch(path: Path, grid: Geometry, folder: Path, *options: str) -> dict[str, np.ndarray]:
    """Masks by name, shape ``(i, j, k)``, as plastimatch fills the contours on that grid."""
    image = sitk.Image(*grid.shape, sitk.sitkInt16)
    lps = np.diag([-1.0, -1.0, 1.0]) @ grid.affine[:3]
    image.SetSpacing(grid.spacing)
    image.SetDirection((lps[:, :3] / grid.spacing).ravel().tolist())
    image.SetOrigin(lps[:, 3].tolist())
    folder.mkdir(parents=True)
    sitk.WriteImage(image, str(folder / "grid.mha"))
    command = [PLASTIMATCH, "convert", "--input", path, "--fixed", folder / "grid.mha"]
    command += ["--output-prefix", folder / "masks", "--prefix-format", "nrrd", *options]
    subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=120)
    masks = {
        file.stem: sitk.GetArrayFromImage(sitk.ReadImage(str(file))).T > 0 for file in (folder / "masks").iterdir()
    }
    assert all(mask.shape == grid.shape for mask in masks.values())
    return masks


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def coded(segmentation: Segmentation) -> Segmentation:
    """With codes and a side for the first structure."""
    kidney, category = (
        CodedConcept("64033007", "SCT", "Kidney"),
        CodedConcept("123037004", "SCT", "Anatomical Structure"),
    )
    first, *rest = segmentation.scheme.structures
    first = dataclasses.replace(first, code=kidney, category=category, laterality=Laterality.LEFT)
    return Segmentation(segmentation.labels, LabelScheme((first, *rest), overlapping=True))


@needs_plastimatch
@pytest.mark.parametrize("options", [(), ("--xor-contours",)], ids=["union", "parity"])
@pytest.mark.parametrize("name", GRIDS)
def test_plastimatch_fills_exactly_our_voxels(tmp_path, name, options):
    source = source_of(tmp_path / "ct", GRIDS[name])
    segmentation = hard_structures(source.geometry)
    write_structure_set(tmp_path / "rt.dcm", segmentation, source, HEADER)
    masks = by_plastimatch(tmp_path / "rt.dcm", source.geometry, tmp_path / "read", *options)
    for structure, mask in segmentation.masks():
        if mask.any():
            assert dice(masks[structure.name], mask) == 1.0  # asked for were 0.999


@needs_plastimatch
def test_contours_drawn_by_plastimatch_are_read_as_it_reads_them(tmp_path):
    grid = Geometry((40, 36, 8), np.diag([-1.5, -1.25, 3.0, 1.0]))
    i, j, k = np.indices(grid.shape)
    ball = (((i - 20) / 14) ** 2 + ((j - 17) / 12) ** 2 + ((k - 4) / 3.2) ** 2) < 1
    image = sitk.GetImageFromArray(ball.T.astype(np.uint8))
    image.SetSpacing((1.5, 1.25, 3.0))
    sitk.WriteImage(image, str(tmp_path / "ball.mha"))
    command = [PLASTIMATCH, "convert", "--input-ss-img", tmp_path / "ball.mha", "--output-dicom", tmp_path / "dicom"]
    subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=120)
    (path,) = (tmp_path / "dicom").glob("rtss*.dcm")
    ((structure, mask),) = read_structure_set(path, grid).masks()
    theirs = by_plastimatch(path, grid, tmp_path / "read")
    assert dice(mask, theirs[structure.name]) == 1.0
    assert dice(mask, ball) > 0.99


@needs_dciodvfy
@pytest.mark.parametrize("name", GRIDS)
def test_a_validator_finds_no_error(tmp_path, name):
    source = source_of(tmp_path / "ct", GRIDS[name])
    write_structure_set(tmp_path / "rt.dcm", coded(hard_structures(source.geometry)), source, HEADER)
    done = subprocess.run([str(DCIODVFY), "-new", tmp_path / "rt.dcm"], capture_output=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).decode("latin-1").splitlines()
    assert "RTStructureSet" in lines
    assert [line for line in lines if line.startswith("Error")] == []


@pytest.mark.real_data
@needs_plastimatch
@pytest.mark.parametrize(
    ("file", "voxels"),
    [
        ("mock_data/rt.dcm", {"ROI-1": 1443}),
        ("empty/dummy_rt.dcm", {"ROI-1": 4976, "ROI-2": 3697, "ROI-3": 4519, "ROI-4": 6954}),
    ],
)
def test_clinical_contours_are_filled_as_plastimatch_fills_them(real_data, tmp_path, file, voxels):
    folder = real_data / "rtutils_tests"
    (series,) = (one for one in find_series(folder / "mock_data").series if one.problem is None)
    grid = read_series(series).geometry
    segmentation = read_structure_set(folder / file, grid)
    theirs = by_plastimatch(folder / file, grid, tmp_path / "read", "--xor-contours")
    assert {structure.name: int(mask.sum()) for structure, mask in segmentation.masks()} == voxels
    for structure, mask in segmentation.masks():
        assert dice(mask, theirs[structure.name]) == 1.0
