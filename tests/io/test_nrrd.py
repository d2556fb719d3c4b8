"""NRRD files as others write them, and as nobody should."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from image_readers import by_simpleitk

from medseg.core.errors import DataError, ReadError
from medseg.io.formats import read_volume

VOXELS = np.arange(120, dtype="<i2")
DIRECTIONS = "space directions: (1,0.1,0) (0,2,0.2) (0,0,3)\nspace origin: (5,6,7)\n"
NRRD = (
    f"NRRD0004\n# a comment\ntype: short\ndimension: 3\nspace: LPS\nsizes: 2 3 4\n{DIRECTIONS}"
    "encoding: raw\nendian: little\n"
)


def written(tmp_path, header: str, data: bytes = VOXELS[:24].tobytes(), name="a.nrrd"):
    path = tmp_path / name
    path.write_bytes(header.encode("latin-1") + b"\n" + data)
    return path


class TestNrrdHeaders:
    @pytest.mark.parametrize(
        "space",
        ["left-posterior-superior", "LPS", "RAS", "LAS", "right-anterior-superior", "left-anterior-superior",
         "scanner-xyz", "3D-right-handed"],
    )  # fmt: skip
    def test_worlds_are_as_itk_has_them(self, tmp_path, space):
        path = written(tmp_path, NRRD.replace("LPS", space))
        array, affine = by_simpleitk(path)
        assert np.array_equal(read_volume(path).array, array)
        assert np.allclose(read_volume(path).geometry.affine, affine, atol=1e-9)

    @pytest.mark.parametrize(
        "grid",
        ["", "spacings: 1 2 3\n", "spacings: 1 2 3\naxis mins: 5 6 7\n",
         "spacings: 1 2 3\ncenterings: node node node\n",
         "spacings: 1 2 3\naxis mins: 5 6 7\ncenterings: node node node\n",
         "spacings: 1 2 3\naxis mins: 5 6 7\ncenters: cell cell cell\n"],
    )  # fmt: skip
    def test_grids_without_a_world_are_as_itk_has_them(self, tmp_path, grid):
        path = written(tmp_path, NRRD.replace(DIRECTIONS, grid).replace("space: LPS\n", ""))
        assert np.allclose(read_volume(path).geometry.affine, by_simpleitk(path)[1], atol=1e-9)

    @pytest.mark.parametrize(
        ("sizes", "directions", "kinds", "axis"),
        [
            ("5 2 3 4", "none (1,0,0) (0,2,0) (0,0,3)", "list domain domain domain", 0),
            ("2 3 4 5", "(1,0,0) (0,2,0) (0,0,3) none", "domain domain domain list", 3),
            ("2 3 4 5", "(1,0,0,0) (0,2,0,0) (0,0,3,0) (0,0,0,1)", "domain domain domain time", 3),
            ("2 3 4 5", "(1,0,0,0) (0,2,0,0) (0,0,3,0) (0,0,0,1)", "domain domain domain domain", 3),
        ],
    )
    def test_an_axis_that_is_not_space_holds_channels(self, tmp_path, sizes, directions, kinds, axis):
        header = NRRD.replace("dimension: 3", "dimension: 4").replace("sizes: 2 3 4", f"sizes: {sizes}")
        header = header.replace("(1,0.1,0) (0,2,0.2) (0,0,3)", directions) + f"kinds: {kinds}\n"
        read = read_volume(written(tmp_path, header, VOXELS.tobytes()))
        fastest_first = VOXELS.reshape([int(n) for n in sizes.split()], order="F")
        assert np.array_equal(read.array, np.moveaxis(fastest_first, axis, 0))
        assert read.geometry.spacing == (1.0, 2.0, 3.0)

    def test_big_endian_and_gzip(self, tmp_path):
        header = NRRD.replace("little", "big").replace("raw", "gz")
        path = written(tmp_path, header, gzip.compress(VOXELS[:24].astype(">i2").tobytes()))
        assert np.array_equal(read_volume(path).array, by_simpleitk(path)[0])

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("encoding: raw", "encoding: raw\ndata file: /etc/passwd", "its header points to another file; save"),
            ("encoding: raw", "encoding: raw\r\nDataFile: LIST", "its header points to another file; save header"),
            ("encoding: raw", "encoding: hex", "packs its voxels by 'hex'; raw and gzip are read"),
            ("encoding: raw", "encoding: raw\nbyte skip: -1", "its voxels do not follow its header at once"),
            ("type: short", "type: block", "stores voxels as 'block'; integers and floats"),
            ("sizes: 2 3 4", "sizes: 99999 99999 99999", r"its header promises .* at most 16 GiB are read"),
            ("sizes: 2 3 4", "sizes: 200 300 400", r"its header promises 48000000 bytes .* cannot hold"),
            ("sizes: 2 3 4", "sizes: 2 3 5", "truncated or damaged; its header promises 60 bytes"),
            ("sizes: 2 3 4", "sizes: 2 0 4", "its axes are not sound"),
            ("sizes: 2 3 4", "sizes: 2 3 4 1 1 1", "its axes are not sound"),
            ("(0,0,3)", "(0,0,nan)", "affine holds a value that is not finite"),
            ("(0,0,3)", "(0,2,0.2)", "affine is singular"),
            ("(1,0.1,0) (0,2,0.2)", "none none", "has 1 axes of space and 2 others"),
        ],
    )  # fmt: skip
    def test_hostile_header(self, tmp_path, old, new, message):
        with pytest.raises(DataError, match=rf"^a\.nrrd: {message}"):
            read_volume(written(tmp_path, NRRD.replace(old, new)))

    def test_a_field_that_is_too_long_for_teem(self, tmp_path):
        path = written(tmp_path, NRRD.replace("LPS", "x" * 5000))
        assert np.array_equal(read_volume(path).array.ravel(order="F"), VOXELS[:24])

    def test_header_without_end(self, tmp_path):
        (tmp_path / "a.nrrd").write_bytes(NRRD.encode())
        with pytest.raises(ReadError, match=r"a\.nrrd: its header is damaged or has no end"):
            read_volume(tmp_path / "a.nrrd")


@pytest.mark.real_data
def test_pyradiomics_pairs(real_data):
    folder = real_data / "pyradiomics"
    for name in ("brain1", "brain2", "breast1"):
        image, label = (read_volume(folder / f"{name}_{part}.nrrd") for part in ("image", "label"))
        assert image.geometry.is_close(label.geometry)
    image, label = (read_volume(folder / f"prostate_phantom_subvolume{part}.nrrd") for part in ("", "-label"))
    assert image.geometry.is_close(label.geometry)


@pytest.mark.real_data
def test_real_files_are_as_simpleitk_reads_them(real_data):
    paths = sorted([*real_data.glob("pyradiomics/*.nrrd"), *real_data.glob("dcmqi/*/*.nrrd")])
    assert len(paths) == 25
    for path in paths:
        array, affine = by_simpleitk(path)
        read = read_volume(path)
        assert np.array_equal(read.array, array)
        assert np.allclose(read.geometry.affine, affine, atol=1e-9)
