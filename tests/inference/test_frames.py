import numpy as np
import pytest
import torch
from factories import bundle
from fixed_network import Fixed
from torch import nn
from torch.nn import functional as F

from medseg.core.errors import BundleError, DataError, InputError
from medseg.core.geometry import LengthUnit
from medseg.core.volume import MultiLabelMap, Volume
from medseg.inference.bundle import Bundle
from medseg.inference.frames import FrameSegmenter, displayed_grid
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.io.raster import picture_grid

FP32 = PredictionSettings(device="cpu", precision="fp32", runtime="torch")
GREY = [{"name": "image", "intensity": "unit"}]
COLOURS = [{"name": name, "intensity": "unit"} for name in ("red", "green", "blue")]
PICTURES = {"dims": 2, "preprocessing": {"orientation": "LPS"}}


class Echo(nn.Module):
    """Sure of the class whose index the image holds, as bytes."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs, self.shapes = outputs, []

    def forward(self, image):
        self.shapes.append(tuple(image.shape))
        index = (image[:, 0] * 255).round().long()
        return 40.0 * F.one_hot(index, self.outputs).movedim(-1, 1) - 20.0


def frame(rows=13, columns=10, channels=None, seed=0, dtype=np.uint8):
    shape = (rows, columns) if channels is None else (rows, columns, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)


def by_predictor(model, pixels, settings=FP32):
    """What the volume engine says of the same picture, as it would come out of a file."""
    channels = pixels[..., None] if pixels.ndim == 2 else pixels
    grid = picture_grid(pixels.shape[1], pixels.shape[0])
    names = tuple(channel.name for channel in model.config.channels)
    labels = Predictor(model, settings).predict(Volume(channels.transpose(2, 1, 0)[..., None], grid, names)).labels
    values = labels.array.view(np.uint8) if isinstance(labels, MultiLabelMap) else labels.array
    return values[..., 0].swapaxes(-1, -2)


@pytest.mark.parametrize("size", [(13, 10), (16, 16), (16, 3), (1, 1), (40, 30), (17, 16)])
@pytest.mark.parametrize("channels", [GREY, COLOURS], ids=["grey", "colour"])
def test_labels_are_those_of_the_predictor(size, channels):
    model = bundle(channels=channels, **PICTURES)
    pixels = frame(*size, None if len(channels) == 1 else 3)
    labels = FrameSegmenter(model, FP32).segment(pixels)
    assert labels.shape == size
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, by_predictor(model, pixels))


@pytest.mark.parametrize(
    "changes",
    [
        {"preprocessing": {"orientation": "RAS"}},
        {"preprocessing": {"orientation": "LPS", "crop": "nonzero"}},
        {"channels": [{"name": "image", "intensity": "zscore"}]},
        {"channels": [{"name": "image", "intensity": "ct", "clip": (0, 100), "mean": 50, "std": 20}]},
        {"postprocessing": {"largest_component": ("one",), "fill_holes": ("two",)}},
        {"augmentation": {"mirror_axes": (0, 1)}, "inference": {"mirror": True}},
        {"inference": {"average": "logits"}},
        {"labels": {"structures": [{"name": "a", "value": 7}, {"name": "b", "value": 300}]}},
        {"labels": {"structures": [{"name": "a", "value": 1}, {"name": "b", "value": 2}], "overlapping": True}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_model_counts_as_it_does_for_the_predictor(changes):
    model = bundle(**{"channels": GREY, **PICTURES, **changes})
    pixels = frame(14, 11)
    pixels[:3] = pixels[:, :2] = 0
    labels = FrameSegmenter(model, FP32).segment(pixels)
    expected = by_predictor(model, pixels)
    assert labels.dtype == expected.dtype
    assert np.array_equal(labels, expected)


def test_members_are_averaged_and_members_of_other_plans_too():
    first, second = bundle(channels=GREY, **PICTURES), bundle(channels=GREY, **PICTURES)
    other = bundle(channels=GREY, sampling={"patch": (12, 8, 1)}, **PICTURES)
    for models in ((first, second), (first, other)):
        members = tuple(member for model in models for member in model.members)
        joined = Bundle(members, first.scheme, first.facts)
        pixels = frame(12, 8)
        assert np.array_equal(FrameSegmenter(joined, FP32).segment(pixels), by_predictor(joined, pixels))


def test_a_frame_that_fits_is_one_window_and_a_larger_one_several():
    model = bundle(Echo(3), channels=GREY, **PICTURES)
    network, segmenter = model.members[0].network, FrameSegmenter(model, FP32)
    small, large = frame(16, 12) % 3, frame(40, 20) % 3
    assert np.array_equal(segmenter.segment(small), small)
    assert network.shapes == [(1, 1, 16, 16)]
    assert np.array_equal(segmenter.segment(large), large)
    assert {shape[2:] for shape in network.shapes} == {(16, 16)}
    assert sum(shape[0] for shape in network.shapes[1:]) == 8


def test_a_whole_frame_goes_through_at_once_rounded_up_to_what_the_network_takes():
    model = bundle(Echo(3), channels=GREY, **PICTURES)
    network, segmenter = model.members[0].network, FrameSegmenter(model, FP32, whole_frame=True)
    for size in ((40, 21), (33, 33), (33, 33)):
        pixels = frame(*size) % 3
        assert np.array_equal(segmenter.segment(pixels), pixels)
    assert network.shapes == [(1, 1, 22, 40), (1, 1, 34, 34), (1, 1, 34, 34)]
    segmenter.segment(frame(10, 10) % 3)
    assert network.shapes[-1] == (1, 1, 16, 16)


def test_maps_are_not_made_for_frames():
    settings = PredictionSettings(device="cpu", probabilities=True, entropy=True, agreement=True)
    model = bundle(Echo(3), channels=GREY, **PICTURES)
    pixels = frame(40, 20) % 3
    assert np.array_equal(FrameSegmenter(model, settings).segment(pixels), pixels)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "ASR", "RSA", "PIL"])
def test_millimetres_are_resampled_as_in_training(orientation):
    spacing = {"orientation": orientation, "spacing": (2.0, 2.0, 1.0), "resample_slices": False}
    model = bundle(Echo(3), dims=2, channels=GREY, preprocessing=spacing)
    pixels = np.zeros((40, 24), np.uint8)
    pixels[10:30, 6:12], pixels[4:8, 14:20] = 1, 2
    labels = FrameSegmenter(model, FP32, pixel_mm=(1.0, 1.0)).segment(pixels)
    assert labels.shape == pixels.shape
    assert np.mean(labels == pixels) > 0.95
    assert {shape[2:] for shape in model.members[0].network.shapes} == {(16, 16)}
    assert sum(shape[0] for shape in model.members[0].network.shapes) == 2  # over 20 x 12 voxels of 2 mm
    at_once = FrameSegmenter(model, FP32, pixel_mm=(1.0, 1.0), whole_frame=True).segment(pixels)
    assert np.array_equal(at_once, labels)
    assert model.members[0].network.shapes[-1] == (1, 1, 16, 20)


def test_float_frames_with_gaps_are_taken_as_the_predictor_takes_them():
    model = bundle(channels=GREY, **PICTURES)
    pixels = frame(12, 12, dtype=np.float32)
    pixels[3, 4], pixels[5, 6] = np.nan, np.inf
    assert np.array_equal(FrameSegmenter(model, FP32).segment(pixels), by_predictor(model, pixels))
    with pytest.raises(DataError, match="channel 'image' holds no finite value"):
        FrameSegmenter(model, FP32).segment(np.full((4, 4), np.nan, np.float32))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), r"the model wants 1 channel \(image\), a frame of shape \(4, 4, 3\) has 3"),
        (np.zeros((4, 4, 3, 1), np.uint8), "a frame is an array of real numbers"),
        (np.zeros(4, np.uint8), "a frame is an array of real numbers"),
        (np.zeros((0, 4), np.uint8), "a frame is an array of real numbers"),
        (np.zeros((4, 4), complex), "a frame is an array of real numbers"),
        (np.full((4, 4), "x"), "a frame is an array of real numbers"),
    ],
)
def test_what_is_no_frame_is_refused(pixels, message):
    with pytest.raises(InputError, match=message):
        FrameSegmenter(bundle(channels=GREY, **PICTURES), FP32).segment(pixels)


def test_grey_is_no_colour():
    with pytest.raises(InputError, match=r"wants 3 channels \(red, green, blue\), a frame of shape \(4, 4\) has 1"):
        FrameSegmenter(bundle(channels=COLOURS, **PICTURES), FP32).segment(frame(4, 4))


def test_a_3d_model_and_pixels_without_size_are_refused():
    with pytest.raises(InputError, match="frames are segmented by a 2D model, and this one is 3D"):
        FrameSegmenter(bundle(), FP32)
    with pytest.raises(InputError, match="pixel_mm has two sizes above 0"):
        FrameSegmenter(bundle(**PICTURES), FP32, pixel_mm=(1.0, 0.0))


def test_a_network_that_gives_nan_is_refused():
    with pytest.raises(BundleError, match="values that are not finite"):
        FrameSegmenter(bundle(Fixed(0.0, float("nan"), 0.0), **PICTURES), FP32).segment(frame(8, 8))


def test_the_frame_is_not_changed():
    pixels = frame(12, 12)
    before = pixels.copy()
    FrameSegmenter(bundle(channels=GREY, **PICTURES), FP32).segment(pixels)
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("codes", ["LPS", "LIA", "PIR", "RAS", "SLP"])
def test_a_displayed_grid_points_where_it_says(codes):
    grid = displayed_grid(codes, (3, 4, 5), (0.5, 2.0, 7.0), LengthUnit.MM)
    assert (grid.axis_codes, grid.shape) == (codes, (3, 4, 5))
    assert grid.spacing == (0.5, 2.0, 7.0)
    assert displayed_grid("LPS", (3, 4, 1), (1, 1, 1), LengthUnit.PIXEL).is_close(picture_grid(3, 4))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu():
    model, pixels = bundle(channels=GREY, **PICTURES), frame(16, 14)
    on_gpu = FrameSegmenter(model, PredictionSettings(device="cuda", precision="fp32")).segment(pixels)
    assert np.mean(on_gpu == FrameSegmenter(model, FP32).segment(pixels)) > 0.99
