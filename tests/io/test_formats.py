"""The door: by content, with one clear sentence for what is no image."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_factories import MARKER, OBLIQUE, write_series
from factories import geometry, label_map, scheme, volume
from image_readers import picture_grid

from medseg.core.errors import InputError, LabelError, MedsegError, OutputError, ReadError, StudyError
from medseg.core.labels import LabelScheme, Region
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.io.formats import (
    Format,
    image_stem,
    read_label_map,
    read_labels,
    read_multi_label_map,
    read_volume,
    sniff,
    write_label_map,
    write_labels,
    write_volume,
)

GRID = geometry((3, 4, 5))


def masks(structures=("one", "two"), seed=0) -> MultiLabelMap:
    array = np.random.default_rng(seed).random((len(structures), *GRID.shape)) > 0.5
    return MultiLabelMap(array, GRID, structures)


class TestSniffing:
    @pytest.mark.parametrize(
        ("suffix", "expected"),
        [(".nii", Format.NIFTI), (".nii.gz", Format.NIFTI), (".nrrd", Format.NRRD), (".mha", Format.META_IMAGE)],
    )
    def test_by_content(self, tmp_path, suffix, expected):
        write_volume(tmp_path / f"a{suffix}", volume(GRID))
        (tmp_path / f"a{suffix}").rename(tmp_path / "a.dat")
        assert sniff(tmp_path / "a.dat") is expected
        assert np.array_equal(read_volume(tmp_path / "a.dat").array, volume(GRID).array)

    def test_dicom_files_and_folders(self, tmp_path):
        write_series(tmp_path / "series")
        assert sniff(tmp_path / "series") is Format.DICOM
        assert sniff(next((tmp_path / "series").iterdir())) is Format.DICOM

    @pytest.mark.parametrize("preamble", [b"II*\0", b"MM\0*"])
    def test_dicom_that_is_a_tiff_too(self, tmp_path, preamble):
        write_series(tmp_path / "series")
        path = next((tmp_path / "series").iterdir())
        path.write_bytes(preamble.ljust(128, b"\0") + path.read_bytes()[128:])
        assert sniff(path) is Format.DICOM

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "empty; medseg reads NIfTI, NRRD"),
            (b"hello, this is text\n" * 40, "not an image; medseg reads NIfTI, NRRD"),
            (b"PK\x03\x04" + bytes(600), "not an image; medseg reads NIfTI, NRRD"),
            (b"\x1f\x8b" + bytes(20), "damaged gzip; medseg reads NIfTI, NRRD"),
            (zlib.compress(b"text" * 1000, wbits=31), "not an image; medseg reads NIfTI, NRRD"),
        ],
    )
    def test_what_is_no_image(self, tmp_path, content, message):
        (tmp_path / "a.nii.gz").write_bytes(content)
        with pytest.raises(ReadError, match=rf"^a\.nii\.gz: {message}"):
            read_volume(tmp_path / "a.nii.gz")

    def test_nothing_there(self, tmp_path):
        with pytest.raises(InputError, match=r"a\.nii' does not exist"):
            read_volume(tmp_path / "a.nii")

    def test_a_pipe_is_not_opened(self, tmp_path):
        os.mkfifo(tmp_path / "a.nii")
        with pytest.raises(InputError, match="is neither a file nor a folder"):
            read_volume(tmp_path / "a.nii")

    @pytest.mark.parametrize(
        ("name", "stem"),
        [
            ("a.nii.gz", "a"),
            ("b.c.NII", "b.c"),
            ("a.seg.nrrd", "a"),
            ("x.png", "x"),
            ("scan.dat", "scan.dat"),
            ("d", "d"),
        ],
    )
    def test_stems(self, name, stem):
        assert image_stem(Path("folder", name)) == stem


class TestDicomFolders:
    def test_the_one_series(self, tmp_path):
        stored = write_series(tmp_path)
        read = read_volume(tmp_path)
        assert read.channels == ("CT",)
        assert np.array_equal(read.array[0], stored)
        assert np.allclose(read.geometry.affine, OBLIQUE.affine, atol=1e-6)

    def test_several_series_are_listed_and_not_named(self, tmp_path):
        write_series(tmp_path / "one", SeriesDescription=MARKER)
        write_series(tmp_path / "two", modality="MR", SeriesDescription=MARKER)
        with pytest.raises(StudyError, match=r"2 usable series .*CT of 7x9, 5 slices.*; name the folder") as raised:
            read_volume(tmp_path)
        assert MARKER not in str(raised.value)

    def test_no_usable_series(self, tmp_path):
        write_series(tmp_path)
        sorted(tmp_path.iterdir())[2].unlink()
        with pytest.raises(StudyError, match=r"1 DICOM series, none usable: .*missing"):
            read_volume(tmp_path)

    def test_no_dicom(self, tmp_path):
        (tmp_path / "notes.txt").write_text("nothing")
        with pytest.raises(StudyError, match="holds no DICOM images"):
            read_volume(tmp_path)


class TestLabelMaps:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_whole_floats_become_the_smallest_integers(self, tmp_path, dtype):
        write_volume(tmp_path / "a.nii", Volume(np.array([0, 1, 300], dtype).reshape(1, 3, 1, 1), geometry((3, 1, 1))))
        assert read_label_map(tmp_path / "a.nii").array.dtype == np.uint16

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ([0, 0.5, 1], "holds fractions such as 0.5; a label map holds whole numbers"),
            ([0, np.nan, 1], "holds fractions such as nan; a label map holds whole numbers"),
            ([0, np.inf, 1], "holds values as large as inf; a label map holds small whole numbers"),
            ([0, -1e12, 1], r"holds values as large as 1e\+12; a label map holds small whole numbers"),
        ],
    )
    def test_other_floats_are_refused(self, tmp_path, values, message):
        array = np.array(values, np.float32).reshape(1, 3, 1, 1)
        write_volume(tmp_path / "a.nii", Volume(array, geometry((3, 1, 1))))
        with pytest.raises(LabelError, match=rf"^a\.nii: {message}"):
            read_label_map(tmp_path / "a.nii")

    def test_channels_are_refused(self, tmp_path):
        write_volume(tmp_path / "a.nii", volume(GRID, ("a", "b")))
        with pytest.raises(LabelError, match=r"a\.nii: holds 2 channels; a label map holds one value a voxel"):
            read_label_map(tmp_path / "a.nii")

    @pytest.mark.parametrize(("values", "dtype"), [([0, 3], np.uint8), ([0, 900], np.uint16), ([-1, 3], np.int16)])
    def test_integers_of_64_bits_are_written_small(self, tmp_path, values, dtype):
        write_label_map(tmp_path / "a.nii", LabelMap(np.array(values).reshape(2, 1, 1), geometry((2, 1, 1))))
        read = read_label_map(tmp_path / "a.nii")
        assert read.array.dtype == dtype
        assert read.array.ravel().tolist() == values


class TestMultiLabelMaps:
    @pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
    @pytest.mark.parametrize("structures", [("one",), ("one", "two", "three")])
    def test_masks_come_back(self, tmp_path, suffix, structures):
        written = masks(structures)
        write_labels(tmp_path / f"a{suffix}", written)
        read = read_multi_label_map(tmp_path / f"a{suffix}", structures)
        assert np.array_equal(read.array, written.array)
        assert read.structures == structures
        assert read.geometry.is_close(GRID)

    def test_other_programs_see_a_4d_image(self, tmp_path):
        write_labels(tmp_path / "a.nii.gz", masks())
        image = nib.load(tmp_path / "a.nii.gz")
        assert image.shape == (*GRID.shape, 2)
        assert image.get_data_dtype() == np.uint8

    def test_the_number_of_masks_must_fit(self, tmp_path):
        write_labels(tmp_path / "a.nii", masks())
        with pytest.raises(LabelError, match=r"a\.nii: holds 2 masks for 1 structures \(liver\)"):
            read_multi_label_map(tmp_path / "a.nii", ("liver",))

    def test_a_mask_has_two_values(self, tmp_path):
        write_label_map(tmp_path / "a.nii", label_map(GRID))
        with pytest.raises(LabelError, match=r"a\.nii: mask 0 \(liver\) holds more values than 0 and one other"):
            read_multi_label_map(tmp_path / "a.nii", ("liver",))


class TestLabelsOfAScheme:
    def test_a_label_map(self, tmp_path):
        write_labels(tmp_path / "a.nii", label_map(GRID))
        assert isinstance(read_labels(tmp_path / "a.nii", scheme()), LabelMap)

    def test_a_file_with_a_mask_for_each_structure(self, tmp_path):
        write_labels(tmp_path / "a.nii", masks())
        read = read_labels(tmp_path / "a.nii", scheme("one", "two"))
        assert isinstance(read, MultiLabelMap)
        assert read.structures == ("one", "two")

    def test_a_file_with_a_mask_for_each_region(self, tmp_path):
        plain = scheme("core", "rim")
        regions = LabelScheme(plain.structures, (Region("whole", ("core", "rim")), Region("centre", ("core",))))
        write_labels(tmp_path / "a.nii", masks())
        assert read_labels(tmp_path / "a.nii", regions).structures == ("whole", "centre")

    @pytest.mark.parametrize("values", [(1, 2), (7, 2), (300, 2)])
    def test_the_mask_of_the_only_region_is_read_as_that_region(self, tmp_path, values):
        plain = LabelScheme.from_names({"core": values[0], "rim": values[1]}).structures
        whole, core = Region("whole", ("core", "rim")), Region("centre", ("core",))
        written = masks(("one",))
        for region in (whole, core):
            alone = LabelScheme(plain, (region,))
            write_labels(tmp_path / "a.nii", MultiLabelMap(written.array, GRID, (region.name,)), alone)
            read = read_labels(tmp_path / "a.nii", alone)
            assert np.array_equal(alone.mask(read, region.name), written.array[0])
            both = LabelScheme(plain, (whole, core))
            assert np.array_equal(both.mask(read_labels(tmp_path / "a.nii", both), "centre"), written.array[0])

    def test_regions_of_overlapping_structures(self, tmp_path):
        structures = scheme("one", "two", "three").structures
        regions = (Region("all", ("one", "two", "three")), Region("some", ("one", "two")))
        overlapping = LabelScheme(structures, regions, overlapping=True)
        for names in (("one", "two", "three"), ("all", "some")):
            write_labels(tmp_path / "a.nii", masks(names), overlapping)
            assert read_labels(tmp_path / "a.nii", overlapping).structures == names

    def test_overlapping_structures_are_masks_even_if_there_is_one(self, tmp_path):
        overlapping = LabelScheme(scheme("one").structures, overlapping=True)
        write_labels(tmp_path / "a.nii", masks(("one",)))
        assert read_labels(tmp_path / "a.nii", overlapping).structures == ("one",)


class TestWriting:
    def test_bool_and_half_floats_are_stored_as_what_formats_know(self, tmp_path):
        half = np.array([0.5, 1.5], np.float16).reshape(1, 2, 1, 1)
        for array, dtype in ((half, np.float32), (half > 1, np.uint8)):
            write_volume(tmp_path / "a.nrrd", Volume(array, geometry((2, 1, 1))))
            assert read_volume(tmp_path / "a.nrrd").array.dtype == dtype

    def test_unknown_suffix(self, tmp_path):
        with pytest.raises(InputError, match=r"cannot write 'a\.jpg': its suffix is none of \.nii\.gz, \.nii"):
            write_volume(tmp_path / "a.jpg", Volume(np.zeros((1, 2, 2, 1), np.uint8), picture_grid(2, 2)))

    @pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".png"])
    def test_a_full_disk_leaves_the_old_file(self, tmp_path, suffix):
        path = tmp_path / f"a{suffix}"
        small = LabelMap(np.zeros((2, 2, 1), np.uint8), picture_grid(2, 2))
        write_label_map(path, small)
        noise = np.random.default_rng(0).integers(0, 255, (200, 200, 1)).astype(np.uint8)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
        try:
            with pytest.raises(OutputError, match=r"cannot write 'a\..*nothing half-written was left behind"):
                write_label_map(path, LabelMap(noise, picture_grid(200, 200)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert list(tmp_path.iterdir()) == [path]
        assert read_label_map(path).array.shape == (2, 2, 1)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".png", ".tif"])
def test_damaged_bytes_give_an_error_of_ours_or_an_image(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_label_map(path, LabelMap(np.arange(42, dtype=np.uint8).reshape(6, 7, 1), picture_grid(6, 7)))
    sound = path.read_bytes()
    rng = random.Random(0)
    messages = []
    for _ in range(150):
        damaged = bytearray(sound)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(sound))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read_volume(path)
        except MedsegError as error:
            messages.append(str(error))
    assert messages
    assert not any("\n" in message for message in messages)


def test_reading_loads_no_torch():
    code = "import sys, medseg.io.formats; sys.exit('torch' in sys.modules or 'SimpleITK' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
