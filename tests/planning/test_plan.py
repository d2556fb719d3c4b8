from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from factories import scheme

from medseg.config.networks import NetworkChoice
from medseg.config.sections import DataSection, Intensity
from medseg.config.training import BudgetSection
from medseg.core.errors import DataError
from medseg.core.geometry import LengthUnit
from medseg.core.labels import LabelScheme
from medseg.inference.devices import DeviceFacts
from medseg.planning.cost import forward_macs, step_seconds, training_bytes
from medseg.planning.fingerprint import Fingerprint
from medseg.planning.plan import Request, default_budget, make_plan, mirror_axes

GIB = 2**30
TWO_CORES = DeviceFacts("cpu", 2, 24 * GIB, has_bf16=True)
BIG_GPU = DeviceFacts("cuda", 1, 80 * GIB, has_bf16=True)


def measured(shape=(35, 50, 36), spacing=(1.0, 1.0, 1.0), channel="MRI", cases=160, **changes) -> Fingerprint:
    fields = {
        "channels": (channel,),
        "unit": LengthUnit.MM,
        "shapes": np.tile(shape, (cases, 1)),
        "spacings": np.tile(spacing, (cases, 1)),
        "foreground": {channel: np.linspace(-100, 300, 4001, dtype=np.float32)},
        "voxels": {"one": 5000, "two": 200},
        "nonzero_share": 1.0,
        "is_byte": False,
        "lowest": {channel: -120.0},
    }
    return Fingerprint(**(fields | changes))


def plan_for(fingerprint: Fingerprint, device=TWO_CORES, dims=3, minutes=20.0, labels: LabelScheme | None = None):
    budget = BudgetSection(minutes=minutes)
    request = Request("x", DataSection(folder=Path("cases")), dims, device, budget)
    return make_plan(fingerprint, labels or scheme(), request)


def test_a_small_image_is_one_patch():
    config = plan_for(measured()).config
    assert all(abs(edge - size) <= 8 for edge, size in zip(config.sampling.patch, (35, 50, 36), strict=True))
    assert config.network.features[0] >= 16
    assert config.preprocessing.spacing == (1.0, 1.0, 1.0)


def test_two_cores_and_a_large_gpu_get_different_plans():
    large = measured(shape=(400, 400, 300), spacing=(0.8, 0.8, 1.5))
    small, big = (plan_for(large, device).config for device in (TWO_CORES, BIG_GPU))
    assert np.prod(big.sampling.patch) * big.sampling.batch > 8 * np.prod(small.sampling.patch) * small.sampling.batch
    assert big.network.features[0] >= small.network.features[0]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("minutes", [2.0, 20.0, 240.0])
def test_training_fits_the_budget_and_the_memory(dims, minutes):
    config = plan_for(measured(shape=(300, 300, 200)), dims=dims, minutes=minutes).config
    size = (config.network, config.sampling.patch)
    steps = 60 * minutes / step_seconds(*size, 1, config.sampling.batch, TWO_CORES)
    assert steps > 1000
    assert training_bytes(*size, config.sampling.batch, TWO_CORES) < TWO_CORES.memory_bytes


@pytest.mark.parametrize("minutes", [5.0, 20.0, 240.0])
def test_a_gpu_is_filled_only_as_far_as_there_is_time(minutes):
    config = plan_for(measured(shape=(300, 300, 200)), BIG_GPU, minutes=minutes).config
    steps = 60 * minutes / step_seconds(config.network, config.sampling.patch, 1, config.sampling.batch, BIG_GPU)
    assert steps > 1000


def test_more_time_buys_more_network():
    short, long = (plan_for(measured(shape=(200, 200, 150)), minutes=m).config for m in (5.0, 300.0))
    assert forward_macs(long.network, long.sampling.patch, 1) > 2 * forward_macs(short.network, short.sampling.patch, 1)


def test_a_coarse_axis_is_stepped_over_later_and_keeps_flat_kernels():
    config = plan_for(measured(shape=(256, 256, 24), spacing=(0.7, 0.7, 6.0))).config
    assert config.network.strides[1] == (2, 2, 1)
    assert config.network.kernels[0] == (3, 3, 1)


def test_a_far_coarser_axis_takes_its_tenth_percentile():
    spacings = np.array([[0.7, 0.7, s] for s in np.linspace(3, 8, 101)])
    config = plan_for(measured(shape=(256, 256, 24), spacing=(1, 1, 1), cases=101, spacings=spacings)).config
    assert config.preprocessing.spacing == (0.7, 0.7, 3.5)


def test_slices_are_taken_across_the_coarsest_axis_and_not_resampled_there():
    config = plan_for(measured(shape=(30, 256, 256), spacing=(5.0, 0.9, 0.9)), dims=2).config
    assert config.preprocessing.orientation == "ASR"
    assert config.preprocessing.resample_slices is False
    assert config.sampling.patch[2] == 1
    assert config.network.dims == 2


def test_ct_is_normalised_by_its_foreground_and_mr_by_itself():
    ct = plan_for(measured(channel="CT")).config.channels[0]
    assert ct.intensity is Intensity.CT
    assert ct.clip == (-98.0, 298.0)
    assert ct.mean == pytest.approx(100, abs=0.1)
    assert plan_for(measured(channel="T1")).config.channels[0].intensity is Intensity.ZSCORE


def test_photographs_keep_their_scale_and_have_no_millimetres():
    photos = measured(channel="red", shape=(256, 256, 1), unit=LengthUnit.PIXEL, is_byte=True)
    config = plan_for(photos, dims=2).config
    assert config.channels[0].intensity is Intensity.UNIT
    assert config.preprocessing.spacing is None
    assert config.preprocessing.orientation == "LPS"


def test_pictures_are_flat_and_volumes_are_not():
    assert measured(shape=(256, 256, 1)).is_flat
    assert not measured().is_flat


def test_stripped_images_are_cropped():
    assert plan_for(measured(nonzero_share=0.4)).config.preprocessing.crop == "nonzero"
    assert plan_for(measured()).config.preprocessing.crop == "none"


def test_a_left_right_pair_switches_that_mirroring_off_and_says_so():
    labels = scheme("left kidney", "right kidney")
    plan = plan_for(measured(voxels={"left kidney": 5, "right kidney": 9}), BIG_GPU, labels=labels)
    assert plan.config.augmentation.mirror_axes == (1, 2)
    assert any("left-right mirroring is off" in note for note in plan.notes)
    assert mirror_axes(labels, "ASR", 3)[0] == (0, 1)
    assert mirror_axes(labels, "ASR", 2) == ((0, 1), ())
    assert mirror_axes(scheme("liver"), "RAS", 3) == ((0, 1, 2), ())
    assert mirror_axes(scheme("left kidney", "liver"), "RAS", 3)[0] == (1, 2), "the right one would be taken for it"


def test_default_budgets_differ_by_device():
    assert default_budget(TWO_CORES).minutes == 60
    assert default_budget(BIG_GPU).epochs == 200


def test_a_cpu_trains_too_little_to_mirror_more_than_left_and_right():
    assert plan_for(measured()).config.augmentation.mirror_axes == (0,)
    assert plan_for(measured(), BIG_GPU).config.augmentation.mirror_axes == (0, 1, 2)
    labels = scheme("left kidney", "right kidney")
    sided = plan_for(measured(voxels={"left kidney": 5, "right kidney": 9}), labels=labels)
    assert sided.config.augmentation.mirror_axes == ()


def test_ct_without_a_finite_value_is_refused():
    with pytest.raises(DataError, match="channel 'CT' holds no finite value inside the structures"):
        plan_for(measured(channel="CT", foreground={"CT": np.zeros(0, np.float32)}))


def test_single_slices_in_a_3d_plan_are_noted():
    slices = measured(shape=(64, 64, 1))
    assert any("--dims 2" in note for note in plan_for(slices).notes)
    assert not any("--dims 2" in note for note in (*plan_for(slices, dims=2).notes, *plan_for(measured()).notes))


def test_air_in_a_channel_that_is_not_called_ct_is_mentioned():
    plan = plan_for(measured(channel="image", lowest={"image": -1024.0}))
    assert any("channel 'image' reaches down to -1024, as CT does" in note for note in plan.notes)
    assert not any("as CT does" in note for note in plan_for(measured(channel="CT", lowest={"CT": -1024.0})).notes)
    assert not any("as CT does" in note for note in plan_for(measured(channel="T1")).notes)


@pytest.mark.filterwarnings("ignore")  # MONAI's own imports warn
@pytest.mark.parametrize("device", [TWO_CORES, BIG_GPU], ids=["cpu", "gpu"])
@pytest.mark.parametrize("choice", NetworkChoice)
def test_every_network_gets_a_plan_that_fits(choice, device):
    request = Request("x", DataSection(folder=Path("cases")), 3, device, BudgetSection(minutes=60), choice)
    plan = make_plan(measured(), scheme(), request)
    config = plan.config
    assert config.network.name in {choice, *(choice.removesuffix(end) for end in ("_m", "_l", "_small"))}
    size = (config.network, config.sampling.patch)
    assert training_bytes(*size, config.sampling.batch, device) < device.memory_bytes
    assert 3600 / step_seconds(*size, 1, config.sampling.batch, device) > 1000
    assert any(f"network {config.network.name}," in note and "GMACs" in note for note in plan.notes)


def test_the_residual_encoder_l_is_planned_for_a_larger_gpu_than_m():
    fingerprint = measured(shape=(400, 400, 300), spacing=(0.8, 0.8, 1.5))
    data, budget = DataSection(folder=Path("cases")), BudgetSection(epochs=200, steps=250)
    sizes = [
        make_plan(fingerprint, scheme(), Request("x", data, 3, BIG_GPU, budget, choice)).config.sampling
        for choice in (NetworkChoice.RESENC_M, NetworkChoice.RESENC_L)
    ]
    medium, large = (np.prod(one.patch) * one.batch for one in sizes)
    assert 1.5 * medium < large < 5 * medium


@pytest.mark.parametrize("air_is_background", [True, False])
@pytest.mark.parametrize("unit", [LengthUnit.MM, LengthUnit.PIXEL])
def test_air_is_skipped_where_no_structure_lies_in_it(air_is_background, unit):
    config = plan_for(measured(air_is_background=air_is_background, unit=unit)).config
    assert config.inference.skip_air is (air_is_background and unit is LengthUnit.MM)


@pytest.mark.parametrize(
    ("shape", "spacing", "last"),
    [
        ((256, 256, 1), (1.8, 1.8, 1.0), "S"),
        ((1, 256, 256), (1.0, 1.0, 1.0), "R"),
        ((256, 1, 256), (1.0, 3.0, 1.0), "A"),
        ((64, 64, 20), (1.0, 1.0, 4.0), "S"),
        ((20, 64, 64), (4.0, 1.0, 1.0), "R"),
    ],
)
def test_slices_lie_across_the_flat_or_the_coarsest_axis(shape, spacing, last):
    config = plan_for(measured(shape, spacing), dims=2).config
    assert config.preprocessing.orientation[2] == last
    assert min(config.sampling.patch[:2]) >= 32
    assert config.sampling.patch[2] == 1


def test_the_voxels_of_a_microscope_keep_their_size():
    config = plan_for(measured(spacing=(0.00025, 0.00025, 0.0012346))).config
    assert config.preprocessing.spacing == (0.00025, 0.00025, 0.001235)
