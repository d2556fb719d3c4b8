import tempfile
import threading

import numpy as np
import pytest
import torch
from factories import bundle, geometry, label_map, volume
from fixed_network import Fixed
from torch import nn
from torch.nn import functional as F

from medseg.core.errors import BundleError, DataError, GeometryError, InputError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.inference.bundle import Bundle
from medseg.inference.predictor import Predictor, segment_prepared
from medseg.inference.settings import PredictionSettings
from medseg.transforms.preprocess import prepare_image

BYTES = [{"name": "image", "intensity": "unit"}]
FP32 = PredictionSettings(device="cpu", precision="fp32")


class Echo(nn.Module):
    """Sure of the class whose index the image holds (as bytes); with regions, of each of the image's bits."""

    def __init__(self, outputs, *, bits=False):
        super().__init__()
        self.outputs, self.bits = outputs, bits
        self.shapes = []

    def forward(self, image):
        self.shapes.append(tuple(image.shape))
        index = (image[:, 0] * 255).round().long()
        if self.bits:
            hot = torch.stack([(index >> bit) & 1 for bit in range(self.outputs)], dim=1)
        else:
            hot = F.one_hot(index, self.outputs).movedim(-1, 1)
        return 40.0 * hot - 20.0


class Progress:
    def __init__(self):
        self.notes, self.total, self.steps = [], 0, 0

    def start(self, label, total):
        self.total = total

    def advance(self, steps=1):
        self.steps += steps

    def note(self, text):
        self.notes.append(text)

    def finish(self):
        pass


def echo(structures=("one", "two"), **changes):
    return bundle(Echo(1 + len(structures)), structures=structures, channels=BYTES, **changes)


def as_image(labels: LabelMap) -> Volume:
    return Volume(labels.array[None], labels.geometry)


def network_input(model, image):
    return torch.from_numpy(prepare_image(image, model.config.preprocessing, model.config.channels).image)[None]


@pytest.mark.parametrize(
    "grid",
    [
        geometry((25, 20, 40)),
        geometry((16, 16, 16)),
        geometry((7, 8, 9)),
        geometry((33, 1, 18)),
        geometry((1, 1, 1)),
        geometry((20, 25, 17), codes="LPS"),
        geometry((20, 25, 17), codes="SAL"),
        geometry((20, 25, 17), codes="PIR"),
        geometry((20, 25, 17), codes="IRP", oblique_degrees=20),
        geometry((20, 25, 17), oblique_degrees=35),
        Geometry((40, 30, 1), np.diag([-1.0, -1, 1, 1]), LengthUnit.PIXEL),
    ],
    ids=lambda grid: f"{grid.axis_codes}-{'x'.join(map(str, grid.shape))}",
)
@pytest.mark.parametrize("dims", [2, 3])
def test_echo_network_gives_back_its_input(grid, dims):
    labels = label_map(grid)
    predicted = Predictor(echo(dims=dims), FP32).predict(as_image(labels)).labels
    assert isinstance(predicted, LabelMap)
    assert np.array_equal(predicted.array, labels.array)
    assert predicted.geometry.is_close(grid)


def test_what_was_cropped_away_is_background():
    grid = geometry((30, 28, 26), codes="PSR")
    values = np.zeros(grid.shape, np.uint8)
    values[5:12, 7:20, 3:9] = label_map(geometry((7, 13, 6)), values=(1, 2)).array
    labels = LabelMap(values, grid)
    model = echo(preprocessing={"crop": "nonzero"})
    settings = PredictionSettings(device="cpu", probabilities=True, entropy=True)
    prediction = Predictor(model, settings).predict(as_image(labels))
    assert np.array_equal(prediction.labels.array, values)
    assert not prediction.probabilities[:, 0].any()
    assert not prediction.entropy[0].any()


def test_values_of_the_scheme_come_back():
    section = {"structures": [{"name": "kidney", "value": 5}, {"name": "aorta", "value": 300}]}
    model = bundle(Echo(3), labels=section, channels=BYTES)
    classes = label_map(geometry((20, 18, 16)))
    predicted = Predictor(model, FP32).predict(as_image(classes)).labels
    assert np.array_equal(predicted.array, np.array([0, 5, 300])[classes.array])


def test_sixty_four_structures():
    names = tuple(f"structure {n}" for n in range(64))
    labels = label_map(geometry((20, 18, 17)), values=range(65))
    assert np.array_equal(Predictor(echo(names), FP32).predict(as_image(labels)).labels.array, labels.array)


@pytest.mark.parametrize(("dims", "shape"), [(3, (16, 16, 16)), (2, (16, 16, 1)), (2, (16, 16, 5))])
def test_window_equals_whole_when_it_fits(dims, shape):
    model, image = bundle(dims=dims), volume(geometry(shape))
    settings = PredictionSettings(device="cpu", precision="fp32", probabilities=True)
    predicted = Predictor(model, settings).predict(image)
    seen = network_input(model, image)
    with torch.no_grad():
        if dims == 3:
            whole = model.members[0].network(seen)[0]
        else:
            whole = torch.stack([model.members[0].network(seen[..., k])[0] for k in range(shape[2])], dim=-1)
    assert np.array_equal(predicted.labels.array, whole.argmax(dim=0).numpy())
    assert np.allclose(predicted.probabilities, whole.softmax(dim=0)[1:].numpy(), atol=1e-3)


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (0.7, 1.2, 2.0), (3.0, 3.0, 6.0)])
@pytest.mark.parametrize("codes", ["RAS", "ILP"])
def test_labels_equal_interpolating_all_probabilities_at_once(spacing, codes):
    model = bundle(preprocessing={"spacing": spacing}, sampling={"patch": (32, 32, 32)})
    image = volume(geometry((16, 19, 11), codes=codes))
    predicted = Predictor(model, FP32).predict(image).labels
    prepared = prepare_image(image, model.config.preprocessing, model.config.channels)
    padded = torch.zeros(1, 1, 32, 32, 32)
    shape = prepared.image.shape[1:]
    box = tuple(slice((32 - n) // 2, (32 - n) // 2 + n) for n in shape)
    padded[(0, 0, *box)] = torch.from_numpy(prepared.image[0])
    with torch.no_grad():
        probabilities = model.members[0].network(padded).softmax(dim=1)[(slice(None), slice(None), *box)]
    restoration = prepared.restoration
    whole = F.interpolate(probabilities, restoration.cropped.shape, mode="trilinear", align_corners=False)[0]
    best = whole.topk(2, dim=0).values
    clear = restoration.axes.inverse.apply((best[0] - best[1] > 1e-5).numpy())
    expected = restoration.axes.inverse.apply(whole.argmax(dim=0).numpy())
    assert clear.mean() > 0.99
    assert np.array_equal(predicted.array[clear], expected[clear])


def test_regions_overlap():
    section = {
        "structures": [{"name": "core", "value": 1}, {"name": "rim", "value": 2}],
        "regions": [{"name": "whole", "structures": ("core", "rim")}, {"name": "inner", "structures": ("core",)}],
    }
    model = bundle(Echo(2, bits=True), labels=section, channels=BYTES)
    image = as_image(label_map(geometry((20, 18, 17), codes="LAS"), values=(0, 1, 2, 3)))
    prediction = Predictor(model, PredictionSettings(device="cpu", probabilities=True, entropy=True)).predict(image)
    assert isinstance(prediction.labels, MultiLabelMap)
    assert prediction.labels.structures == ("whole", "inner")
    expected = np.stack([image.array[0] & 1, image.array[0] >> 1]).astype(bool)
    assert np.array_equal(prediction.labels.array, expected)
    assert np.allclose(prediction.probabilities, expected, atol=1e-3)
    assert prediction.entropy.max() < 1e-3


@pytest.mark.parametrize("exclusive", [True, False])
def test_undecided_network_has_full_entropy_and_labels_nothing(exclusive):
    labels = {"structures": [{"name": "a", "value": 1}, {"name": "b", "value": 2}], "overlapping": not exclusive}
    model = bundle(Fixed(0.0, 0.0, 0.0) if exclusive else Fixed(0.0, 0.0), labels=labels)
    settings = PredictionSettings(device="cpu", probabilities=True, entropy=True)
    prediction = Predictor(model, settings).predict(volume(geometry((9, 20, 18))))
    assert not prediction.labels.array.any()
    assert np.allclose(prediction.entropy, 1, atol=1e-5)
    assert np.allclose(prediction.probabilities, 1 / 3 if exclusive else 1 / 2, atol=1e-3)
    assert prediction.probabilities.dtype == np.float16
    assert prediction.entropy.dtype == np.float32


def test_entropy_is_that_of_scipy():
    from scipy.stats import entropy

    model = bundle(Fixed(1.0, -0.5, 0.25))
    prediction = Predictor(model, PredictionSettings(device="cpu", entropy=True)).predict(volume())
    expected = entropy(torch.tensor([1.0, -0.5, 0.25]).softmax(0).numpy(), base=3)
    assert np.allclose(prediction.entropy, expected, atol=1e-5)


def test_extra_maps_are_made_only_when_asked_for():
    prediction = Predictor(bundle(Fixed(0.0, 1.0, 0.0)), FP32).predict(volume())
    assert prediction.probabilities is None
    assert prediction.entropy is None


@pytest.mark.parametrize(("dims", "axes", "versions"), [(3, (0, 1, 2), 8), (3, (1,), 2), (2, (0, 1, 2), 4)])
def test_mirroring_follows_the_training_and_stays_in_the_plane(dims, axes, versions):
    model = echo(dims=dims, augmentation={"mirror_axes": axes})
    labels = label_map(geometry((16, 16, 1)))
    settings = PredictionSettings(device="cpu", mirror=True)
    assert np.array_equal(Predictor(model, settings).predict(as_image(labels)).labels.array, labels.array)
    assert len(model.members[0].network.shapes) == versions


def test_a_model_that_was_not_trained_on_mirror_images_sees_none():
    model = echo(augmentation={"enabled": False})
    labels = label_map(geometry((16, 16, 16)))
    Predictor(model, PredictionSettings(device="cpu", mirror=True)).predict(as_image(labels))
    assert len(model.members[0].network.shapes) == 1


def test_slices_go_through_a_2d_network_in_batches():
    model = echo(dims=2)
    Predictor(model, FP32).predict(as_image(label_map(geometry((16, 16, 20)))))
    assert model.members[0].network.shapes == [(16, 1, 16, 16), (4, 1, 16, 16)]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_batch_changes_nothing(batch):
    model, image = bundle(), volume(geometry((30, 20, 25)))
    one = Predictor(model, FP32).predict(image)
    other = Predictor(model, PredictionSettings(device="cpu", precision="fp32", batch=batch)).predict(image)
    assert np.mean(one.labels.array == other.labels.array) > 0.999


def test_batch_is_halved_when_memory_runs_out():
    class Greedy(Echo):
        def forward(self, image):
            if len(image) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(image)

    model, labels = bundle(Greedy(3), channels=BYTES), label_map(geometry((40, 30, 20)))
    progress = Progress()
    predicted = Predictor(model, PredictionSettings(device="cpu", batch=8)).predict(as_image(labels), progress)
    assert np.array_equal(predicted.labels.array, labels.array)
    assert {shape[0] for shape in model.members[0].network.shapes} == {2}
    assert progress.steps == progress.total == 24


def test_too_little_memory_for_one_window_is_one_sentence():
    class Endless(nn.Module):
        def forward(self, image):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(InputError, match="not enough memory for this volume"):
        Predictor(bundle(Endless()), FP32).predict(volume())


def test_defect_of_a_network_is_not_taken_for_lack_of_memory():
    class Broken(nn.Module):
        def forward(self, image):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        Predictor(bundle(Broken()), FP32).predict(volume())


def test_interrupt_leaves_no_temporary_files(tmp_path, monkeypatch):
    class Cancelled(Echo):
        def forward(self, image):
            if len(self.shapes) == 5:
                raise KeyboardInterrupt
            return super().forward(image)

    fine, coarse = (bundle(Cancelled(3), channels=BYTES, preprocessing={"spacing": s}) for s in ((1, 1, 1), (2, 2, 2)))
    both = Bundle((*fine.members, *coarse.members), fine.scheme, fine.facts)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        Predictor(both, FP32).predict(as_image(label_map(geometry((40, 30, 20), spacing=(1, 1, 1)))))
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == threads


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 0, 4), (4, 4, 0)])
def test_an_image_without_voxels_cannot_be_made(shape):
    with pytest.raises(GeometryError, match="shape must be three positive numbers"):
        Volume(np.zeros((1, *shape)), Geometry.from_spacing(shape))


def test_nan_is_replaced_with_a_note():
    array = label_map(geometry((16, 17, 18))).array.astype(np.float32)
    array[3, 4, 5], array[6, 7, 8] = np.nan, np.inf
    progress = Progress()
    image = Volume(array[None], geometry((16, 17, 18)))
    predicted = Predictor(echo(), FP32).predict(image, progress).labels.array
    whole = np.isfinite(array)
    assert np.array_equal(predicted[whole], array[whole])
    assert predicted[3, 4, 5] == 0
    assert progress.notes == ["channel 'image': 2 values are not finite; taken for the nearest that is"]


def test_channel_without_a_finite_value_is_refused():
    image = Volume(np.full((1, 4, 4, 4), np.nan, np.float32), geometry((4, 4, 4)))
    with pytest.raises(DataError, match="channel 'image' holds no finite value"):
        Predictor(echo(), FP32).predict(image)


def test_network_that_gives_nan_is_refused():
    with pytest.raises(BundleError, match="values that are not finite; predict with precision fp32"):
        Predictor(bundle(Fixed(0.0, float("nan"), 0.0)), FP32).predict(volume())


def test_other_channels_are_refused():
    with pytest.raises(InputError, match=r"the model wants 1 channel \('image'\), the image has 2 channels"):
        Predictor(echo(), FP32).predict(volume(channels=("T1", "T2")))


def test_absent_device_is_refused():
    if torch.cuda.is_available():
        pytest.skip("needs a machine without CUDA")
    with pytest.raises(InputError, match="device 'cuda' is not there; available: cpu"):
        Predictor(echo(), PredictionSettings(device="cuda"))


def test_bf16_agrees_with_fp32():
    model, image = bundle(), volume(geometry((20, 20, 20)))
    settings = PredictionSettings(device="cpu", precision="bf16", probabilities=True)
    exact = PredictionSettings(device="cpu", precision="fp32", probabilities=True)
    one, other = (Predictor(model, each).predict(image).probabilities for each in (settings, exact))
    assert 0 < np.abs(one.astype(np.float32) - other).max() < 0.05


def test_postprocessing_of_the_bundle_is_applied_unless_switched_off():
    values = np.zeros((20, 20, 20), np.uint8)
    values[2:9, 2:9, 2:9] = values[15, 15, 15] = 1
    model = echo(postprocessing={"largest_component": ("one",)})
    image = Volume(values[None], geometry((20, 20, 20)))
    assert Predictor(model, FP32).predict(image).labels.array.sum() == 7**3
    raw = PredictionSettings(device="cpu", postprocess=False)
    assert Predictor(model, raw).predict(image).labels.array.sum() == 7**3 + 1


@pytest.mark.parametrize("dims", [2, 3])
def test_segment_prepared_gives_class_indices(dims):
    model = echo(dims=dims)
    classes = label_map(geometry((25, 20, 40))).array
    network = model.members[0].network
    indices = segment_prepared(network, classes[None].astype(np.float32) / 255, model.config, model.scheme)
    assert indices.dtype == np.uint8
    assert np.array_equal(indices, classes)


def test_segment_prepared_gives_masks_of_regions():
    labels = {"structures": [{"name": "a", "value": 1}, {"name": "b", "value": 2}], "overlapping": True}
    model = bundle(Echo(2, bits=True), labels=labels, channels=BYTES)
    bits = label_map(geometry((18, 17, 16)), values=(0, 1, 2, 3)).array
    masks = segment_prepared(model.members[0].network, bits[None].astype(np.float32) / 255, model.config, model.scheme)
    assert np.array_equal(masks, np.stack([bits & 1, bits >> 1]))


@pytest.mark.gpu
@pytest.mark.parametrize("dims", [2, 3])
def test_cuda_agrees_with_cpu(dims):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    image = volume(geometry((40, 30, 25)))
    found = []
    for device in ("cpu", "cuda"):
        settings = PredictionSettings(device=device, precision="fp32", probabilities=True)
        torch.manual_seed(0)
        found.append(Predictor(bundle(dims=dims), settings).predict(image).probabilities.astype(np.float32))
    assert np.allclose(*found, atol=2e-2)
