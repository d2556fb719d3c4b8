"""Models of several networks: what they predict together."""

from __future__ import annotations

import mmap
from dataclasses import replace

import numpy as np
import pytest
import torch
from factories import bundle, geometry, run_config, scheme, volume
from fixed_network import Fixed
from torch import nn

from medseg.core.errors import BundleError, OutputError
from medseg.inference import scratch
from medseg.inference.bundle import Bundle
from medseg.inference.calibration import Calibration
from medseg.inference.decision import Decision
from medseg.inference.ensemble import ensemble
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.transforms.preprocess import Restoration

MAPS = PredictionSettings(device="cpu", precision="fp32", probabilities=True, entropy=True)
POLLED = replace(MAPS, agreement=True)
REGIONS = {
    "structures": [{"name": "core", "value": 1}, {"name": "rim", "value": 2}],
    "regions": [{"name": "whole", "structures": ("core", "rim")}, {"name": "inner", "structures": ("core",)}],
}
FLAT = {"preprocessing": {"orientation": "RAS", "spacing": (1.0, 1.0, 2.0), "resample_slices": False}}
"""Plan of a 2D network beside that of a 3D one on another grid, along other axes."""
SOLID = {"preprocessing": {"orientation": "SLP", "spacing": (1.5, 1.25, 1.5)}}


def model(seed: int, **changes) -> Bundle:
    """Random weights, and logits large enough to differ."""
    torch.manual_seed(seed)
    made = bundle(**changes)
    made.members[0].network.register_forward_hook(lambda *arguments: 4 * arguments[2])
    return made


def mixed(**changes) -> list[Bundle]:
    return [model(1, dims=2, **FLAT, **changes), model(2, **SOLID, **changes), model(3, **SOLID, **changes)]


def maps_of(made: Bundle, image) -> np.ndarray:
    return Predictor(made, MAPS).predict(image).probabilities.astype(np.float64)


def class_indices(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most probable class, and where it is clearly that."""
    whole = np.concatenate([1 - maps.sum(axis=0, keepdims=True), maps])
    first, second = np.sort(whole, axis=0)[[-1, -2]]
    return whole.argmax(axis=0), first - second > 5e-3


def test_two_equal_members_are_as_one():
    one, image = model(0), volume(geometry((25, 20, 18)))
    alone, twice = (Predictor(made, MAPS).predict(image) for made in (one, ensemble([one, one])))
    assert np.array_equal(alone.labels.array, twice.labels.array)
    assert np.array_equal(alone.probabilities, twice.probabilities)
    assert np.array_equal(alone.entropy, twice.entropy)


@pytest.mark.parametrize("mirror", [False, True])
def test_members_of_one_grid_give_the_mean_of_their_probabilities(mirror):
    parts, image = [model(seed) for seed in range(3)], volume(geometry((25, 20, 18), codes="LPS"))
    settings = replace(MAPS, mirror=mirror)
    together = Predictor(ensemble(parts), settings).predict(image)
    mean = np.mean([Predictor(one, settings).predict(image).probabilities.astype(np.float64) for one in parts], axis=0)
    assert np.allclose(together.probabilities, mean, atol=1e-3)
    indices, clear = class_indices(mean)
    assert clear.mean() > 0.9
    assert np.array_equal(together.labels.array[clear], indices[clear])


@pytest.mark.parametrize("members", [9, 21])
def test_the_mean_of_members_that_are_all_sure_is_one(members):
    grid, decision = geometry((3, 4, 5)), Decision.of(scheme("one"), Calibration())
    sums = scratch.Scratch(decision, grid, votes=False)
    sure = torch.stack([torch.zeros(grid.shape), torch.ones(grid.shape)])
    for _ in range(members):
        sums.writer(Restoration.unchanged(grid), 0, 1 / members)(0, sure)
    for _, mean in sums.slabs():
        assert (mean[0] == 0).all()
        assert (mean[1] <= 1).all()
        assert (mean[1] > 0.998).all()


def test_probabilities_are_averaged_and_not_logits():
    parts = [bundle(Fixed(0.0, 6.0, 0.0)), bundle(Fixed(0.0, -1.0, 0.0))]
    maps = Predictor(ensemble(parts), MAPS).predict(volume()).probabilities
    expected = np.mean([torch.tensor(z).softmax(0).numpy() for z in ([0.0, 6, 0], [0.0, -1, 0])], axis=0)
    assert np.allclose(maps[0], expected[1], atol=1e-3)


@pytest.mark.parametrize("polled", [False, True])
@pytest.mark.parametrize("grid", [geometry((20, 22, 18), (1.0, 1.2, 2.0), "LIP", 20.0), geometry((17, 30, 20))])
def test_a_2d_and_two_3d_networks_on_other_grids_give_the_mean_of_their_probabilities(grid, polled):
    parts, image = mixed(), volume(grid)
    together = Predictor(ensemble(parts), POLLED if polled else MAPS).predict(image)
    mean = np.mean([maps_of(one, image) for one in parts], axis=0)
    assert np.allclose(together.probabilities, mean, atol=2e-3)
    indices, clear = class_indices(mean)
    assert clear.mean() > 0.9
    assert np.array_equal(together.labels.array[clear], indices[clear])
    assert together.labels.geometry.is_close(grid)
    assert (together.agreement is not None) == polled


def test_targets_that_overlap_are_averaged_too():
    parts, image = mixed(labels=REGIONS), volume(geometry((20, 22, 18), (1.0, 1.2, 2.0), "LIP", 20.0))
    together = Predictor(ensemble(parts), MAPS).predict(image)
    mean = np.mean([maps_of(one, image) for one in parts], axis=0)
    assert np.allclose(together.probabilities, mean, atol=2e-3)
    clear = np.abs(mean - 0.5) > 5e-3
    assert np.array_equal(together.labels.array[clear], (mean > 0.5)[clear])


def test_what_one_member_cropped_away_is_background_to_that_member():
    array = np.zeros((1, 20, 22, 24), np.int16)
    array[:, 4:15, 3:18, 6:20] = volume(geometry((11, 15, 14))).array
    image = replace(volume(geometry((20, 22, 24))), array=array)
    parts = [model(1), model(2, preprocessing={"crop": "nonzero"})]
    together = Predictor(ensemble(parts), MAPS).predict(image)
    mean = np.mean([maps_of(one, image) for one in parts], axis=0)
    assert np.allclose(together.probabilities, mean, atol=2e-3)
    outside = (slice(None), slice(0, 4))
    assert np.allclose(together.probabilities[outside], maps_of(parts[0], image)[outside] / 2, atol=2e-3)


def test_each_member_sees_channels_normalised_in_its_own_way():
    ct = {"name": "image", "intensity": "ct", "clip": (-500.0, 500.0), "mean": 0.0, "std": 300.0}
    parts, image = [model(1), model(2, channels=[ct])], volume(geometry((20, 18, 17)))
    mean = np.mean([maps_of(one, image) for one in parts], axis=0)
    assert np.allclose(Predictor(ensemble(parts), MAPS).predict(image).probabilities, mean, atol=2e-3)


def test_the_inference_section_of_the_bundle_is_that_of_all_members():
    parts = mixed()
    made = ensemble(parts)
    made = made.with_config(
        made.config.model_copy(update={"inference": run_config(inference={"overlap": 0.1}).inference})
    )
    image = volume(geometry((30, 28, 26)))
    mean = np.mean([Predictor(one, replace(MAPS, overlap=0.1)).predict(image).probabilities for one in parts], axis=0)
    assert np.allclose(Predictor(made, MAPS).predict(image).probabilities, mean, atol=3e-3)


def test_clean_up_and_names_are_those_of_the_first():
    made = ensemble([model(1, name="first", postprocessing={"largest_component": ("one",)}), model(2, name="second")])
    assert (made.config.name, made.config.postprocessing.largest_component) == ("first", ("one",))


class Progress:
    def __init__(self):
        self.stages = []

    def start(self, label, total):
        self.stages.append([label, total, 0])

    def advance(self, steps=1):
        self.stages[-1][2] += steps

    def note(self, text):
        raise AssertionError(text)


def test_members_of_one_grid_go_over_the_image_once_and_others_one_after_the_other():
    progress, image = Progress(), volume(geometry((20, 20, 20)))
    Predictor(ensemble([model(1), model(2)]), MAPS).predict(image, progress)
    Predictor(ensemble(mixed()), MAPS).predict(image, progress, "predict 3 of 7")
    Predictor(ensemble(mixed()), POLLED).predict(image, progress)
    assert [label for label, *_ in progress.stages] == [
        "predict",
        *(f"predict 3 of 7, pass {number} of 2" for number in (1, 2)),
        *(f"predict, pass {number} of 3" for number in (1, 2, 3)),
    ]
    assert all(total == done > 0 for _, total, done in progress.stages)


@pytest.mark.parametrize("members", [2, 5])
def test_the_scratch_file_does_not_grow_with_members_and_leaves_slab_by_slab(members, monkeypatch):
    made, slabs = [], []
    real = scratch._mapped
    monkeypatch.setattr(scratch, "_mapped", lambda *request: made.append(request) or real(*request))
    monkeypatch.setattr(scratch, "_SLAB_BYTES", 4 * 3 * 40 * 20 * 2)
    monkeypatch.setattr(torch, "from_numpy", lambda array, real=torch.from_numpy: slabs.append(array) or real(array))
    parts = [model(seed, preprocessing={"spacing": (1.0, 1.0, 1.0 + seed / 10)}) for seed in range(members)]
    Predictor(ensemble(parts), replace(POLLED, probabilities=False)).predict(volume(geometry((30, 40, 20))))
    assert made == [((2, 30, 40, 20), np.float16), ((2, 30, 40, 20), np.uint8)]
    taken = [array for array in slabs if array.ndim == 4 and array.shape[2:] == (40, 20)]
    assert len(taken) == 2 * 15
    assert max(array.shape[1] for array in taken) == 2


def test_the_scratch_lies_in_a_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = scratch._mapped((3, 4, 5), np.float16)
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, mmap.mmap)
    assert not array.any()
    assert list(tmp_path.iterdir()) == []


def test_too_little_room_for_the_scratch_is_one_sentence(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch.os, "posix_fallocate", full)
    with pytest.raises(
        OutputError, match="needs .* GB of temporary files .No space left on device.; name a folder .* TMPDIR"
    ):
        Predictor(ensemble(mixed()), MAPS).predict(volume())


def test_a_member_that_gives_nan_is_refused():
    parts = [bundle(Fixed(0.0, 1.0, 0.0)), bundle(Fixed(0.0, float("nan"), 0.0), **SOLID)]
    for made in (ensemble(parts), ensemble([parts[0], bundle(Fixed(0.0, float("nan"), 0.0))])):
        with pytest.raises(BundleError, match="values that are not finite; predict with precision fp32"):
            Predictor(made, MAPS).predict(volume(geometry((16, 16, 16))))


def test_memory_that_runs_out_halves_the_batch_and_counts_no_vote_twice():
    class Greedy(nn.Module):
        def __init__(self, *, is_greedy):
            super().__init__()
            self.is_greedy = is_greedy

        def forward(self, image):
            if self.is_greedy and len(image) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return 9 * torch.cat([torch.zeros_like(image), image, -image], dim=1)

    made = ensemble([bundle(Greedy(is_greedy=greedy)) for greedy in (False, True)])
    predicted = Predictor(made, replace(POLLED, batch=8)).predict(volume(geometry((40, 30, 20))))
    assert predicted.agreement == pytest.approx({"one": 1.0, "two": 1.0})


@pytest.mark.parametrize("exclusive", [True, False])
def test_temperature_divides_the_logits(exclusive):
    z = torch.tensor([1.0, -0.5, 2.0] if exclusive else [1.0, -0.5])
    one = bundle(Fixed(*z.tolist()), **({} if exclusive else {"labels": REGIONS}))
    hot = replace(one, calibration=Calibration(temperature=2.0))
    maps = Predictor(hot, MAPS).predict(volume()).probabilities[:, 0, 0, 0]
    assert np.allclose(maps, (z / 2).softmax(0)[1:] if exclusive else (z / 2).sigmoid(), atol=1e-3)


def test_temperature_leaves_the_labels_of_one_network_alone():
    one, image = model(0), volume(geometry((16, 16, 16)))
    plain, hot = (
        Predictor(replace(one, calibration=Calibration(temperature=t)), MAPS).predict(image) for t in (1.0, 3.0)
    )
    assert np.array_equal(plain.labels.array, hot.labels.array)
    assert hot.entropy.mean() > plain.entropy.mean() + 0.05


@pytest.mark.parametrize("parts", [1, 2])
def test_thresholds_are_kept_to(parts):
    made = [bundle(Fixed(0.0, 1.0), labels=REGIONS, **({}, SOLID)[number]) for number in range(parts)]
    both = ensemble(made)
    for whole, inner in ((0.4, 0.7), (0.5, 0.75), (0.6, 0.2)):
        calibrated = replace(both, calibration=Calibration(thresholds={"whole": whole, "inner": inner}))
        labels = Predictor(calibrated, replace(MAPS, probabilities=False, entropy=False)).predict(volume()).labels
        assert labels.array.reshape(2, -1).all(axis=1).tolist() == [whole < 0.5, inner < torch.tensor(1.0).sigmoid()]


def pairwise_dice(maps: list[np.ndarray]) -> dict[str, float]:
    """Dice of the members' own label maps, each pair weighted by its two sizes; written out."""
    indices, found = [class_indices(one)[0] for one in maps], {}
    for place, name in enumerate(("one", "two"), start=1):
        shared = sizes = 0
        for first in range(len(indices)):
            for second in range(first + 1, len(indices)):
                one, other = indices[first] == place, indices[second] == place
                shared, sizes = shared + 2 * (one & other).sum(), sizes + one.sum() + other.sum()
        found[name] = shared / sizes
    return found


def test_agreement_is_the_pairwise_dice_of_the_members_label_maps():
    image = volume(geometry((16, 16, 16), (1.5, 1.25, 1.5), "SLP"))
    together = [model(seed) for seed in range(3)]
    apart = [model(1, dims=2), model(2), model(3)]
    for parts in (together, apart):
        agreement = Predictor(ensemble(parts), POLLED).predict(image).agreement
        assert agreement == pytest.approx(pairwise_dice([maps_of(one, image) for one in parts]), abs=0.01)
        assert min(agreement.values()) < 0.9


def test_windows_count_each_voxel_once_in_agreement():
    image = volume(geometry((40, 30, 25)))
    flat = [bundle(Fixed(0.0, 1.0, 0.0)), bundle(Fixed(0.0, 0.0, 1.0)), bundle(Fixed(0.0, 1.0, 0.0))]
    agreement = Predictor(ensemble(flat), POLLED).predict(image).agreement
    assert agreement == pytest.approx({"one": 1 / 2, "two": 0.0})


@pytest.mark.parametrize("plan", [{}, SOLID])
def test_nobody_disagrees_about_what_no_member_finds(plan):
    made = ensemble([bundle(Fixed(0.0, 1.0, -9.0)), bundle(Fixed(0.0, 1.0, -9.0), **plan)])
    agreement = Predictor(made, POLLED).predict(volume()).agreement
    assert agreement["one"] == pytest.approx(1.0)
    assert np.isnan(agreement["two"])


def test_one_network_is_not_asked():
    assert Predictor(model(0), POLLED).predict(volume()).agreement is None
