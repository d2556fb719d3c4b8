"""NIfTI files as other programs write them, and as nobody should."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
from factories import geometry, volume
from image_readers import picture_grid

from medseg.core.errors import DataError, GeometryError, ReadError
from medseg.core.volume import Volume
from medseg.io import limits
from medseg.io.formats import read_volume, write_volume

SHAPE = (3, 4, 5)
VOXELS = np.arange(60, dtype=np.int16).reshape(SHAPE)


def image(data=VOXELS, affine=None, kind=nib.Nifti1Image) -> nib.Nifti1Image:
    return kind(data, geometry(SHAPE).affine if affine is None else affine)


def saved(tmp_path, made: nib.Nifti1Image, name="a.nii"):
    nib.save(made, tmp_path / name)
    return tmp_path / name


def patched(tmp_path, offset: int, value: bytes, name="a.nii"):
    """A sound file with some bytes of its header changed."""
    content = bytearray(saved(tmp_path, image()).read_bytes())
    content[offset : offset + len(value)] = value
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


class TestReading:
    @pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_both_versions_and_byte_orders(self, tmp_path, kind, order):
        header = kind.header_class(endianness=order)
        header.set_data_dtype(np.int16)
        read = read_volume(saved(tmp_path, kind(VOXELS, geometry(SHAPE).affine, header)))
        assert np.array_equal(read.array[0], VOXELS)
        assert read.array.dtype == np.dtype("=i2")
        assert read.geometry.is_close(geometry(SHAPE))

    def test_content_counts_and_the_name_does_not(self, tmp_path):
        packed = saved(tmp_path, image(), "a.nii.gz").rename(tmp_path / "b.nii")
        plain = saved(tmp_path, image(), "c.nii").rename(tmp_path / "c.dat")
        assert np.array_equal(read_volume(packed).array, read_volume(plain).array)

    def test_sform_goes_before_qform(self, tmp_path):
        made = image()
        made.set_sform(geometry(SHAPE, (2.0, 2.0, 2.0)).affine, code=2)
        made.set_qform(geometry(SHAPE, (3.0, 3.0, 3.0)).affine, code=1)
        path = saved(tmp_path, made)
        assert read_volume(path).geometry.spacing == (2.0, 2.0, 2.0)
        assert np.allclose(read_volume(path).geometry.affine, nib.load(path).affine)

    def test_qform_where_there_is_no_sform(self, tmp_path):
        made = image()
        made.set_sform(None, code=0)
        made.set_qform(geometry(SHAPE, (3.0, 2.0, 1.0), oblique_degrees=11.0).affine, code=1)
        path = saved(tmp_path, made)
        assert np.allclose(read_volume(path).geometry.affine, nib.load(path).affine, atol=1e-5)
        assert np.allclose(read_volume(path).geometry.spacing, (3.0, 2.0, 1.0))

    def test_qform_where_the_sform_is_broken(self, tmp_path):
        made = image()
        made.set_qform(geometry(SHAPE).affine, code=1)
        content = bytearray(saved(tmp_path, made).read_bytes())
        content[280:328] = bytes(48)  # srow_x, srow_y, srow_z
        (tmp_path / "b.nii").write_bytes(content)
        assert read_volume(tmp_path / "b.nii").geometry.is_close(geometry(SHAPE))

    def test_voxel_sizes_where_there_is_neither(self, tmp_path):
        made = image()
        made.header.set_zooms((0.5, 0.75, 4.0))
        made.set_sform(None, code=0)
        made.set_qform(None, code=0)
        path = saved(tmp_path, made)
        assert np.allclose(read_volume(path).geometry.affine, nib.load(path).affine)

    @pytest.mark.parametrize(("unit", "factor"), [("meter", 1000.0), ("mm", 1.0), ("micron", 0.001), ("unknown", 1.0)])
    def test_units_become_millimetres(self, tmp_path, unit, factor):
        made = image()
        made.header.set_xyzt_units(unit)
        affine = read_volume(saved(tmp_path, made)).geometry.affine
        assert np.allclose(affine[:3], geometry(SHAPE).affine[:3] * factor)

    @pytest.mark.parametrize("slope", [0.0, 1.0, np.nan])
    def test_trivial_scaling_keeps_the_type(self, tmp_path, slope):
        path = patched(tmp_path, 112, np.array([slope, 0.0], "<f4").tobytes())
        assert read_volume(path).array.dtype == np.int16

    def test_scaling_gives_float32(self, tmp_path):
        read = read_volume(patched(tmp_path, 112, np.array([0.5, -7.0], "<f4").tobytes()))
        assert read.array.dtype == np.float32
        assert np.array_equal(read.array[0], VOXELS * 0.5 - 7)
        assert np.array_equal(read.array[0], nib.load(tmp_path / "a.nii").get_fdata())

    def test_nan_voxels_are_let_through(self, tmp_path):
        voxels = VOXELS.astype(np.float32)
        voxels[1, 2, 3] = np.nan
        assert np.isnan(read_volume(saved(tmp_path, image(voxels))).array).sum() == 1

    def test_two_dimensions_are_one_slice(self, tmp_path):
        assert read_volume(saved(tmp_path, image(VOXELS[..., 0]))).array.shape == (1, 3, 4, 1)

    @pytest.mark.parametrize("shape", [(3, 4, 5, 2), (3, 4, 5, 1, 2), (3, 4, 5, 2, 1, 1)])
    def test_one_long_dimension_after_the_third_holds_channels(self, tmp_path, shape):
        voxels = np.arange(120, dtype=np.int16).reshape(shape)
        read = read_volume(saved(tmp_path, image(voxels)))
        assert read.channels == ("0", "1")
        assert np.array_equal(read.array, np.moveaxis(voxels.reshape(3, 4, 5, 2), -1, 0))


class TestRefusing:
    @pytest.mark.parametrize(
        ("offset", "value", "message"),
        [
            (
                40,
                np.array([3, 32767, 32767, 32767], "<i2").tobytes(),
                r"its header promises 65530.0 GiB .* at most 16 GiB",
            ),
            (
                40,
                np.array([3, 300, 400, 500], "<i2").tobytes(),
                r"its header promises .*, which a file of 472 bytes cannot hold",
            ),
            (40, np.array([3, 4, 4, 5], "<i2").tobytes(), r"truncated or damaged; its header promises 160 bytes"),
            (40, np.array([3, -4, 4, 5], "<i2").tobytes(), r"dimensions .* are not those of an image"),
            (40, np.array([1, 60, 1, 1], "<i2").tobytes(), r"dimensions .* are not those of an image"),
            (40, np.array([5, 3, 4, 1, 5, 2], "<i2").tobytes(), r"has 5 dimensions \(3, 4, 1, 5, 2\); volumes and"),
            (70, np.array([128], "<i2").tobytes(), r"stores RGB colours; save it with one volume a colour"),
            (70, np.array([32], "<i2").tobytes(), r"stores complex64 voxels; integers and floats"),
            (70, np.array([77], "<i2").tobytes(), r"data type 77 is none of NIfTI's"),
            (108, np.array([-352.0], "<f4").tobytes(), r"its voxels start at byte -352, which cannot be"),
            (108, np.array([np.nan], "<f4").tobytes(), r"its voxels start at byte nan, which cannot be"),
            (108, np.array([1e30], "<f4").tobytes(), r"its voxels start at byte 1e\+30, which cannot be"),
            (112, np.array([2.0, np.inf], "<f4").tobytes(), r"its intensity intercept .* is not finite"),
            (280, np.array([np.nan], "<f4").tobytes(), r"its affine is singular or not finite"),
            (344, b"ni1\0", r"the header of a two-file NIfTI"),
        ],
    )
    @pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
    def test_hostile_header(self, tmp_path, offset, value, message, name):
        if name.endswith(".gz"):
            message = message.replace("472", r"\d+")
        with pytest.raises(DataError, match=rf"^a\.nii(\.gz)?: {message}"):
            read_volume(patched(tmp_path, offset, value, name))

    def test_broken_quaternion(self, tmp_path):
        made = image()
        made.set_sform(None, code=0)
        made.set_qform(geometry(SHAPE).affine, code=1)
        content = bytearray(saved(tmp_path, made).read_bytes())
        content[256:268] = np.array([3.0, 3.0, 3.0], "<f4").tobytes()
        (tmp_path / "a.nii").write_bytes(content)
        with pytest.raises(GeometryError, match=r"a\.nii: its orientation \(qform\) cannot be understood"):
            read_volume(tmp_path / "a.nii")

    @pytest.mark.parametrize(
        ("offset", "values"),
        [
            (76, [0.0]),  # qfac, which ITK wrote as 0 for years
            (80, [-2.0]),
            (256, [3.0, 3.0, 3.0]),
        ],
    )
    def test_a_sound_sform_counts_whatever_the_qform_is(self, tmp_path, offset, values):
        made = image()
        made.set_sform(geometry(SHAPE).affine, code=1)
        made.set_qform(geometry(SHAPE).affine, code=1)
        content = bytearray(saved(tmp_path, made).read_bytes())
        content[offset : offset + 4 * len(values)] = np.array(values, "<f4").tobytes()
        (tmp_path / "a.nii").write_bytes(content)
        assert read_volume(tmp_path / "a.nii").geometry.is_close(geometry(SHAPE))

    @pytest.mark.parametrize(("offset", "value"), [(76, 0.0), (80, -1.0)])
    def test_a_qform_alone_is_repaired_as_the_format_says(self, tmp_path, offset, value):
        made = image()
        made.set_sform(None, code=0)
        made.set_qform(geometry(SHAPE).affine, code=1)
        content = bytearray(saved(tmp_path, made).read_bytes())
        sign = np.frombuffer(content, "<f4", 1, offset)[0] if offset > 76 else 1.0
        content[offset : offset + 4] = np.array([value * sign], "<f4").tobytes()
        (tmp_path / "a.nii").write_bytes(content)
        assert read_volume(tmp_path / "a.nii").geometry.is_close(geometry(SHAPE))

    @pytest.mark.parametrize("kept", [60, 200, 400])
    def test_truncated_gzip(self, tmp_path, kept):
        voxels = np.random.default_rng(0).integers(0, 1000, (20, 20, 20)).astype(np.int16)
        path = saved(tmp_path, image(voxels), "a.nii.gz")
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ReadError, match=r"a\.nii\.gz: (truncated|damaged gzip|not an image)"):
            read_volume(path)

    def test_gzip_whose_checksum_is_wrong(self, tmp_path):
        path = saved(tmp_path, image(), "a.nii.gz")
        content = bytearray(path.read_bytes())
        content[-6] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(ReadError, match=r"a\.nii\.gz: truncated or damaged"):
            read_volume(path)

    def test_gzip_bomb_is_never_inflated(self, tmp_path, monkeypatch):
        monkeypatch.setattr(limits, "LARGEST_DECODED", 10**6)
        made = nib.Nifti1Image(np.zeros((200, 200, 200), np.uint8), np.eye(4))
        path = saved(tmp_path, made, "a.nii.gz")
        assert path.stat().st_size < 50_000
        with pytest.raises(ReadError, match=r"its header promises 0\.0 GiB of voxels; at most 0\.\d+ GiB are read"):
            read_volume(path)


class TestWriting:
    def test_the_header_is_new_and_says_scanner_and_mm(self, tmp_path):
        write_volume(tmp_path / "a.nii.gz", volume(geometry(SHAPE, oblique_degrees=14.0)))
        header = nib.load(tmp_path / "a.nii.gz").header
        assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
        assert header.get_xyzt_units()[0] == "mm"
        assert all(header[name].tobytes().strip(b"\0") == b"" for name in ("descrip", "intent_name", "aux_file"))
        assert np.allclose(header.get_qform(), header.get_sform(), atol=1e-4)

    def test_pixels_are_not_called_millimetres(self, tmp_path):
        write_volume(tmp_path / "a.nii", Volume(np.zeros((1, 6, 4, 1), np.uint8), picture_grid(6, 4)))
        assert nib.load(tmp_path / "a.nii").header.get_xyzt_units()[0] == "unknown"

    def test_gzip_holds_neither_name_nor_time(self, tmp_path):
        write_volume(tmp_path / "secret.nii.gz", volume(geometry(SHAPE)))
        content = (tmp_path / "secret.nii.gz").read_bytes()
        assert content[3:8] == bytes(5)
        assert b"secret" not in content

    def test_more_voxels_along_an_axis_than_nifti_1_can_say(self, tmp_path):
        wide = Volume(np.zeros((1, 40_000, 1, 1), np.uint8), geometry((40_000, 1, 1)))
        write_volume(tmp_path / "a.nii.gz", wide)
        assert isinstance(nib.load(tmp_path / "a.nii.gz"), nib.Nifti2Image)
        assert read_volume(tmp_path / "a.nii.gz").geometry.is_close(wide.geometry)


class TestBytes:
    """What is written is what nibabel writes, though faster."""

    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_bytes_are_those_of_nibabel(self, tmp_path, monkeypatch, dtype, channels, order):
        monkeypatch.setattr("medseg.io.streams._PACKED_AT_ONCE", 2 * 12 * np.dtype(dtype).itemsize)
        grid = geometry(SHAPE, oblique_degrees=10.0)
        voxels = np.random.default_rng(0).uniform(0, 200, (channels, *SHAPE)).astype(dtype)
        voxels = np.stack([np.asarray(channel, order=order) for channel in voxels])
        if order == "F":
            voxels = np.moveaxis(np.asfortranarray(np.moveaxis(voxels, 0, -1)), -1, 0)
        names = tuple("abc"[:channels])
        write_volume(tmp_path / "a.nii", Volume(voxels, grid, names))
        write_volume(tmp_path / "a.nii.gz", Volume(voxels, grid, names))
        made = nib.Nifti1Image(np.moveaxis(voxels, 0, -1) if channels > 1 else voxels[0], grid.affine)
        made.set_sform(grid.affine, code=1)
        made.set_qform(grid.affine, code=1)
        made.header.set_xyzt_units(xyz="mm")
        assert (tmp_path / "a.nii").read_bytes() == made.to_bytes()
        assert gzip.decompress((tmp_path / "a.nii.gz").read_bytes()) == made.to_bytes()

    def test_long_axes_are_written_as_version_two(self, tmp_path):
        grid = geometry((40_000, 1, 2))
        voxels = np.arange(80_000, dtype=np.int32).reshape(1, 40_000, 1, 2)
        write_volume(tmp_path / "a.nii", Volume(voxels, grid))
        read = nib.load(tmp_path / "a.nii")
        assert isinstance(read, nib.Nifti2Image)
        np.testing.assert_array_equal(read.dataobj, voxels[0])
