"""How a plan sizes a localiser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from factories import scheme

from medseg.config.sections import DataSection
from medseg.config.training import BudgetSection
from medseg.core.errors import ConfigError
from medseg.core.geometry import LengthUnit
from medseg.inference.devices import DeviceFacts
from medseg.planning.cost import step_seconds, training_bytes
from medseg.planning.fingerprint import Fingerprint
from medseg.planning.localiser import with_localiser
from medseg.planning.plan import Request, make_plan

GIB = 2**30
TWO_CORES = DeviceFacts("cpu", 2, 24 * GIB, has_bf16=True)
BIG_GPU = DeviceFacts("cuda", 1, 80 * GIB, has_bf16=True)
CT = {"shape": (512, 512, 400), "spacing": (0.8, 0.8, 1.0)}


def measured(shape, spacing, voxels=200_000, unit=LengthUnit.MM, cases=20) -> Fingerprint:
    return Fingerprint(
        channels=("CT",),
        unit=unit,
        shapes=np.tile(shape, (cases, 1)),
        spacings=np.tile(spacing, (cases, 1)),
        foreground={"CT": np.linspace(-100, 300, 4001, dtype=np.float32)},
        voxels={"one": cases * voxels, "two": 50 * cases * voxels},
        nonzero_share=1.0,
        is_byte=False,
        lowest={"CT": -1000.0},
    )


def planned(fingerprint, device=TWO_CORES, dims=3, minutes=60.0):
    request = Request("x", DataSection(folder=Path("cases")), dims, device, BudgetSection(minutes=minutes))
    return with_localiser(make_plan(fingerprint, scheme(), request), fingerprint, request)


@pytest.mark.parametrize("device", [TWO_CORES, BIG_GPU], ids=["cpu", "gpu"])
@pytest.mark.parametrize("minutes", [5.0, 60.0, 600.0])
def test_it_is_coarse_small_and_sees_much_of_the_body(device, minutes):
    plan = planned(measured(**CT), device, minutes=minutes)
    section, fine = plan.config.localiser, plan.config.preprocessing.spacing
    assert min(section.spacing) >= 2 * min(fine)
    extent = np.multiply(CT["shape"], CT["spacing"])
    assert max(extent / section.spacing) <= 161
    assert (np.multiply(section.patch, section.spacing) >= (0.95 if minutes > 5 else 0.3) * extent).all()
    seconds = step_seconds(section.network, section.patch, 1, section.batch, device)
    assert 400 * seconds <= 60 * minutes * section.budget_share
    assert training_bytes(section.network, section.patch, section.batch, device) < device.memory_bytes
    assert section.network.width <= plan.config.network.width
    assert any(note.startswith("localiser: voxels of ") for note in plan.notes)


def test_small_structures_ask_for_finer_voxels():
    large, small = (planned(measured(**CT, voxels=voxels)).config.localiser for voxels in (200_000, 8_000))
    assert max(small.spacing) < max(large.spacing)
    edge = (8_000 * 0.64) ** (1 / 3)
    assert max(small.spacing) == pytest.approx(max(edge / 3, 400 * 1.0 / 160, 409.6 / 160, 1.6), abs=0.01)


def test_thick_slices_stay_as_they_are():
    section = planned(measured((256, 256, 30), (1.5, 1.5, 9.0))).config.localiser
    assert section.spacing[2] == 9.0
    assert section.spacing[0] == section.spacing[1] < 9.0


def test_a_plan_for_slices_gets_a_localiser_of_volumes():
    config = planned(measured(**CT), dims=2).config
    assert (config.network.dims, config.localiser.network.dims) == (2, 3)


def test_images_that_are_one_patch_gain_nothing_and_the_plan_says_so():
    notes = planned(measured((35, 50, 36), (1.0, 1.0, 1.0), voxels=2000)).notes
    assert any("so that a localiser saves nothing" in note for note in notes)
    assert not any("saves nothing" in note for note in planned(measured(**CT)).notes)


def test_the_voxels_of_a_microscope_have_a_size():
    section = planned(measured((512, 512, 100), (0.0002, 0.0002, 0.001))).config.localiser
    assert 0.0004 <= min(section.spacing) < 0.01


def test_pictures_are_refused():
    flat = measured((640, 480, 1), (1.0, 1.0, 1.0), unit=LengthUnit.PIXEL)
    with pytest.raises(ConfigError, match="a localiser needs images in millimetres; plan without --localiser"):
        planned(flat, dims=2)
