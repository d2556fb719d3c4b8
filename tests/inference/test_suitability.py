import pytest
from factories import geometry

from medseg.core.geometry import Geometry, LengthUnit
from medseg.inference.bundle import TrainingFacts
from medseg.inference.suitability import dicom_modality, missing_channels, wrong_grid, wrong_modality


def facts(*channels, grids=None):
    return TrainingFacts.from_grids(channels or ("CT",), grids or [Geometry.from_spacing((40, 50, 30))])


@pytest.mark.parametrize(
    ("channel", "modality"),
    [
        ("CT", "CT"),
        ("ct", "CT"),
        ("MR", "MR"),
        ("MRI", "MR"),
        ("T1", "MR"),
        ("T1 post contrast", "MR"),
        ("T2w", "MR"),
        ("t1ce", "MR"),
        ("FLAIR", "MR"),
        ("PET", "PT"),
        ("US", "US"),
        ("image", None),
        ("0", None),
        ("red", None),
        ("tumour", None),
        ("", None),
    ],
)
def test_modality_that_a_channel_speaks_of(channel, modality):
    assert dicom_modality(channel) == modality


def test_series_of_the_modality_of_the_training_fits():
    assert wrong_modality("MR", facts("MRI")) is None
    assert wrong_modality("PT", facts("CT", "PET")) is None


def test_series_of_another_modality_does_not():
    reason = "its modality is CT, the model was trained on T1, FLAIR"
    assert wrong_modality("CT", facts("T1", "FLAIR")) == reason
    assert wrong_modality("", facts("CT")) == "its modality is not given, the model was trained on CT"


def test_unknown_channel_names_fit_any_modality():
    assert wrong_modality("CT", facts("image")) is None


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR"])
@pytest.mark.parametrize(("factor", "fits"), [(1, True), (1.9, True), (2.1, False), (0.55, True), (0.45, False)])
def test_size_may_differ_by_a_factor_of_two_whatever_the_orientation(codes, factor, fits):
    grid = geometry((40, 50, 30), spacing=(factor, factor, factor), codes=codes)
    assert (wrong_grid(grid, facts()) is None) is fits


def test_range_of_the_training_counts():
    grids = [Geometry.from_spacing((10, 10, 10)), Geometry.from_spacing((100, 100, 100))]
    for side, fits in ((4, False), (6, True), (190, True), (210, False)):
        assert (wrong_grid(Geometry.from_spacing((side, 50, 50)), facts(grids=grids)) is None) is fits


def test_reason_tells_both_sizes():
    grid = Geometry.from_spacing((220, 220, 22), (1, 1, 6.5))
    assert wrong_grid(grid, facts()) == (
        "it measures 220 x 220 x 143 mm from left to right, back to front and foot to head, "
        "the training images 40 to 40 x 50 to 50 x 30 to 30 mm"
    )


def test_a_localizer_of_one_thick_slice_does_not_fit():
    grid = Geometry.from_spacing((40, 1, 30), (1, 50, 1))
    assert wrong_grid(grid, facts()) == (
        "its voxels measure 1 x 50 x 1 mm from left to right, back to front and foot to head, "
        "those in training 1 to 1 x 1 to 1 x 1 to 1 mm"
    )


def test_images_in_pixels_are_not_judged():
    assert wrong_grid(Geometry.from_spacing((5000, 5000, 1), unit=LengthUnit.PIXEL), facts()) is None


@pytest.mark.parametrize(
    ("channels", "missing"),
    [
        (("T1", "T2", "FLAIR"), None),
        (("FLAIR", "T1"), "without T2"),
        (("T2",), "without T1, FLAIR"),
        (("image",), None),
        (("0", "1", "2"), None),
    ],
)
def test_channels_that_an_image_lacks(channels, missing):
    assert missing_channels(channels, facts("T1", "T2", "FLAIR")) == missing
