"""Images that make no volume: one sentence, exit code 2, nothing half-written."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from broken_series import BROKEN, GRID
from command_line import fails
from dicom_factories import MARKER, write_changed
from factories import bundle, label_map, volume

from medseg.core.volume import Volume
from medseg.inference.bundle import BundleRecords, write_bundle
from medseg.io.formats import write_label_map, write_volume


@pytest.fixture
def ct_model(tmp_path):
    channel = {"name": "CT", "intensity": "ct", "clip": (-100, 300), "mean": 50, "std": 60}
    write_bundle(tmp_path / "model", bundle(channels=[channel]), BundleRecords({}, {}))
    return tmp_path / "model"


def left(tmp_path) -> list[str]:
    return [path.name for path in (tmp_path / "out").rglob("*")]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_dicom_series(medseg, ct_model, tmp_path, kind):
    change, _, message = BROKEN[kind]
    write_changed(tmp_path / "series", change, GRID)
    done = medseg("predict", ct_model, "series", "-o", "out", "--key", "key")
    fails(done, message)
    assert MARKER not in done.err
    assert left(tmp_path) == []
    assert "yes" not in medseg("inspect", "series").out


def damaged(name: str):
    def write(folder) -> str:
        path = folder / "scan.nii.gz"
        write_volume(path, volume(dtype=np.float32))
        content = path.read_bytes()
        nifti = gzip.decompress(content)
        broken = {
            "cut short": content[: len(content) // 2],
            "too large": gzip.compress(nifti[:40] + np.array([3, 32767, 32767, 32767], "<i2").tobytes() + nifti[48:]),
            "no image": b"this is a letter",
            "empty": b"",
        }
        path.write_bytes(broken[name])
        return path.name

    return write


def detached_nrrd(folder) -> str:
    (folder / "scan.nhdr").write_text("NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\ndata file: /etc/passwd\n")
    return "scan.nhdr"


def detached_meta_image(folder) -> str:
    (folder / "scan.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = /etc/passwd\n"
    )
    return "scan.mhd"


FILES = {
    **{name: damaged(name) for name in ("cut short", "too large", "no image", "empty")},
    "detached NRRD": detached_nrrd,
    "detached MetaImage": detached_meta_image,
}


@pytest.mark.parametrize("kind", FILES)
def test_a_broken_file(medseg, ct_model, tmp_path, kind):
    name = FILES[kind](tmp_path)
    fails(medseg("predict", ct_model, name, "-o", "out"), name)
    fails(medseg("inspect", name), name)
    assert left(tmp_path) == []


def test_a_label_map_of_fractions_is_a_row_with_its_reason(medseg, tmp_path):
    write_label_map(tmp_path / "reference.nii.gz", label_map())
    halves = volume(label_map().geometry, dtype=np.float32)
    write_volume(tmp_path / "predicted.nii.gz", Volume(halves.array / 2, halves.geometry))
    done = medseg("evaluate", "predicted.nii.gz", "reference.nii.gz", "-o", "out")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "holds fractions such as" in (tmp_path / "out" / "scores.csv").read_text()
