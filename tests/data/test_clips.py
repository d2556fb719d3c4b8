from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from picture_objects import as_file, picture_dataset
from PIL import Image
from pydicom.data import get_testdata_file

from medseg.core.errors import InputError, ReadError
from medseg.data import clips
from medseg.data.clips import picture_files, read_frames


def write_pictures(folder: Path, names, channels=3) -> list[np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    shape = (6, 9, 3) if channels == 3 else (6, 9)
    frames = [np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8) for seed in range(len(names))]
    for name, pixels in zip(names, frames, strict=True):
        Image.fromarray(pixels).save(folder / name)
    return frames


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_is_read_by_the_numbers_in_its_names(tmp_path, channels):
    names = ["frame1.png", "frame2.tif", "frame9.png", "frame10.png", "frame100.png"]
    frames = write_pictures(tmp_path, names, channels)
    (tmp_path / "notes.txt").write_text("frame3")
    (tmp_path / ".hidden.png").write_bytes((tmp_path / "frame1.png").read_bytes())
    assert [path.name for path in picture_files(tmp_path)] == names
    read = list(read_frames(tmp_path))
    assert len(read) == len(frames)
    assert all(np.array_equal(one, other) for one, other in zip(read, frames, strict=True))


def test_names_without_numbers_and_parts_are_in_a_fixed_order(tmp_path):
    names = ["a.png", "a1b2.png", "a1b10.png", "a2.png", "b.png", "0.png", "00.png"]
    write_pictures(tmp_path, names)
    order = [path.name for path in picture_files(tmp_path)]
    assert order.index("a1b2.png") < order.index("a1b10.png") < order.index("a2.png")
    assert order.index("0.png") < order.index("a.png")
    assert sorted(order) == sorted(names)


def test_one_picture_is_one_frame(tmp_path):
    (frame,) = write_pictures(tmp_path, ["one.png"])
    (read,) = read_frames(tmp_path / "one.png")
    assert np.array_equal(read, frame)


@pytest.mark.parametrize(
    "name",
    [
        *("examples_ybr_color.dcm", "examples_rgb_color.dcm", "SC_rgb_rle_2frame.dcm", "SC_rgb_rle_16bit_2frame.dcm"),
        *("SC_ybr_full_422_uncompressed.dcm", "MR_small.dcm", "SC_rgb_jpeg_gdcm.dcm"),
    ],
)
def test_frames_of_a_dicom_file_are_those_that_pydicom_reads(name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"this pydicom comes without {name}")
    dataset = pydicom.dcmread(path)
    expected = pydicom.pixels.pixel_array(path)
    frames = list(read_frames(Path(path)))
    shape = (int(dataset.get("NumberOfFrames", 1) or 1), dataset.Rows, dataset.Columns)
    assert (len(frames), *frames[0].shape[:2]) == shape
    assert np.array_equal(np.stack(frames).reshape(expected.shape), expected)


def test_a_palette_gives_its_colours():
    path = get_testdata_file("examples_palette.dcm")
    dataset = pydicom.dcmread(path)
    wide = pydicom.pixels.apply_color_lut(dataset.pixel_array, dataset)
    (frame,) = read_frames(Path(path))
    assert frame.dtype == np.uint8
    assert np.abs(frame.astype(int) - wide.astype(int) // 256).max() <= 1


def test_where_zero_is_white_the_values_are_turned_round(tmp_path):
    dataset = picture_dataset(np.arange(64, dtype=np.uint8).reshape(8, 8))
    dataset.PhotometricInterpretation = "MONOCHROME1"
    as_file(dataset, tmp_path)
    (frame,) = read_frames(tmp_path / "object.dcm")
    assert np.array_equal(frame, 255 - np.arange(64).reshape(8, 8))


def test_what_holds_no_frames_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_frames(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no PNG, JPEG or TIFF file"):
        read_frames(tmp_path)
    (tmp_path / "notes.txt").write_text("no frames")
    with pytest.raises(ReadError, match="notes.txt: frames are read from pictures, a folder of them, or a DICOM file"):
        read_frames(tmp_path / "notes.txt")


def test_a_damaged_picture_is_met_when_its_turn_comes(tmp_path):
    (frame,) = write_pictures(tmp_path, ["1.png"])
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    frames = read_frames(tmp_path)
    assert np.array_equal(next(frames), frame)
    with pytest.raises(ReadError, match="2.png"):
        next(frames)


def test_a_clip_that_is_too_large_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(clips, "_LARGEST", 1000)
    with pytest.raises(ReadError, match="a clip of .* MiB when decoded; up to 0 MiB are read, so divide it"):
        read_frames(Path(get_testdata_file("examples_ybr_color.dcm")))
