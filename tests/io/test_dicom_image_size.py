"""Images that promise too much, or other pixels than they have, are refused before anything is decoded."""

from __future__ import annotations

import pytest
from dicom_bytes import DATA
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from medseg.core.errors import ReadError
from medseg.io.dicom_file import check_image_size, read_dicom


def image(**elements):
    dataset = Dataset()
    dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.SamplesPerPixel = 4, 5, 16, 1
    dataset.add(DataElement(0x7FE00010, "OW", bytes(40)))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"NumberOfFrames": "2", "BitsAllocated": 8},
        {"NumberOfFrames": None},
        {"BitsAllocated": 1, "PixelData": bytes(4)},
        {"SamplesPerPixel": 3, "BitsAllocated": 8, "PhotometricInterpretation": "YBR_FULL_422"},
        {"SamplesPerPixel": 3, "BitsAllocated": 8, "PhotometricInterpretation": "RGB", "PixelData": bytes(60)},
    ],
)
def test_sound_images_pass(elements):
    assert check_image_size(image(**elements)) is None


def test_data_sets_without_pixels_pass():
    assert check_image_size(Dataset()) is None


@pytest.mark.parametrize(("keyword", "bytes_a_pixel"), [("FloatPixelData", 4), ("DoubleFloatPixelData", 8)])
def test_float_pixels(keyword, bytes_a_pixel):
    dataset = image(**{keyword: bytes(20 * bytes_a_pixel)})
    del dataset.PixelData, dataset.BitsAllocated
    assert check_image_size(dataset) is None
    dataset[keyword].value = bytes(20)
    with pytest.raises(ReadError, match="pixel data is 20 bytes"):
        check_image_size(dataset)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"Rows": 0}, "1 frames of 0 x 5 pixels of 1 x 16 bits make no image"),
        ({"NumberOfFrames": "-3"}, "make no image"),
        ({"NumberOfFrames": "2"}, "pixel data is 40 bytes, 2 frames of 4 x 5 pixels of 1 x 16 bits are 80"),
        ({"PixelData": bytes(80)}, "pixel data is 80 bytes"),
        ({"Rows": 65535, "Columns": 65535}, "more than the limit of 67108864 pixels a frame and 16 GiB"),
        ({"Rows": 8000, "Columns": 8000, "NumberOfFrames": "1000"}, "more than the limit of"),
    ],
)
def test_others_are_refused(elements, message):
    with pytest.raises(ReadError, match=message):
        check_image_size(image(**elements))


def test_values_that_are_no_numbers():
    dataset = image()
    dataset.add(DataElement(0x00280010, "US", [4, 5], already_converted=True))
    with pytest.raises(ReadError, match=r"the size of an image cannot be read \(TypeError\)"):
        check_image_size(dataset)


def test_the_length_of_compressed_pixels_says_nothing():
    dataset = image(NumberOfFrames="100")
    dataset["PixelData"].is_undefined_length = True
    assert check_image_size(dataset) is None


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm", "SC_ybr_full_422_uncompressed.dcm"])
def test_raw_elements(name):
    assert check_image_size(read_dicom(DATA / "test_files" / name).dataset) is None
