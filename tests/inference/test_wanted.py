from __future__ import annotations

import numpy as np
import pytest
import torch
from factories import bundle, geometry, label_map, scheme, volume
from torch import nn
from torch.nn import functional as F

from medseg.config.sections import PostprocessingSection
from medseg.core.errors import InputError
from medseg.core.labels import LabelScheme, Region
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.inference import blocks
from medseg.inference.ensemble import ensemble
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.inference.wanted import clean_up_of, decided_targets, named_targets

NAMES = ("one", "two", "three")
BYTES = [{"name": "image", "intensity": "unit"}]
OVERLAPPING = {"structures": [{"name": name, "value": n} for n, name in enumerate(NAMES, 1)], "overlapping": True}


def settings(*names, **changes) -> PredictionSettings:
    return PredictionSettings(device="cpu", precision="fp32", runtime="torch", structures=names, **changes)


class Echo(nn.Module):
    """Sure of the class whose index the image holds (as bytes)."""

    def forward(self, image):
        return 40.0 * F.one_hot((image[:, 0] * 255).round().long(), 4).movedim(-1, 1) - 20.0


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return bundle(structures=NAMES, preprocessing={"spacing": (1.3, 1.3, 1.3)})


def echo(**changes):
    return bundle(Echo(), structures=NAMES, channels=BYTES, **changes)


@pytest.mark.parametrize("wanted", [("one",), ("two",), ("three", "one"), NAMES])
@pytest.mark.parametrize("maps", [{}, {"probabilities": True}, {"entropy": True}])
def test_labels_are_those_among_all_structures(model, wanted, maps):
    image = volume(geometry((24, 19, 21), codes="LAS"))
    every, some = (Predictor(model, settings(*names, **maps)).predict(image) for names in ((), wanted))
    kept = [0, *(NAMES.index(name) + 1 for name in wanted)]
    assert len(np.unique(every.labels.array)) > 2
    assert np.array_equal(some.labels.array, np.where(np.isin(every.labels.array, kept), every.labels.array, 0))
    if every.probabilities is not None:
        assert np.array_equal(some.probabilities, every.probabilities[[k - 1 for k in sorted(kept)[1:]]])
    if every.entropy is not None:
        assert np.array_equal(some.entropy, every.entropy)


def test_values_stay_and_the_scheme_says_so():
    section = {
        "structures": [{"name": "kidney", "value": 5}, {"name": "aorta", "value": 300}, {"name": "v", "value": 9}]
    }
    predictor = Predictor(bundle(Echo(), labels=section, channels=BYTES), settings("aorta"))
    classes = label_map(geometry((20, 18, 16)), values=range(4))
    predicted = predictor.predict(Volume(classes.array[None], classes.geometry)).labels
    assert np.array_equal(predicted.array, np.array([0, 0, 300, 0])[classes.array])
    assert predictor.scheme.targets == ("aorta",)
    assert predictor.scheme.values == (300,)


def test_where_targets_overlap_only_the_wanted_masks_are_there():
    image = volume(geometry((20, 18, 17)))
    torch.manual_seed(1)
    model = bundle(labels=OVERLAPPING)
    every, some = (
        Predictor(model, settings(*names, probabilities=True)).predict(image) for names in ((), ("three", "one"))
    )
    assert isinstance(some.labels, MultiLabelMap)
    assert some.labels.structures == ("one", "three")
    assert np.array_equal(some.labels.array, every.labels.array[[0, 2]])
    assert np.array_equal(some.probabilities, every.probabilities[[0, 2]])


def test_unknown_names_are_answered_with_those_that_are_known(model):
    with pytest.raises(InputError, match="does not know a structure 'liver'; it knows 'one', 'two', 'three'"):
        Predictor(model, settings("one", "liver"))


def test_blocks_without_the_wanted_structure_are_not_interpolated(monkeypatch):
    asked = []
    channel = blocks.Block.channel
    monkeypatch.setattr(blocks.Block, "channel", lambda self, index: (asked.append(index), channel(self, index))[1])
    values = np.zeros((16, 16, 64), np.uint8)
    values[2:9, 2:9, 40:60] = 1
    monkeypatch.setattr(blocks, "_BLOCK_VOXELS", 16 * 16 * 8)
    image = Volume(values[None], geometry(values.shape))
    assert not Predictor(echo(), settings("two")).predict(image).labels.array.any()
    assert asked == []
    predicted = Predictor(echo(), settings("one")).predict(image).labels.array
    assert np.array_equal(predicted, values)
    assert set(asked) == {0, 1}
    assert asked.count(1) < 64 / 8


@pytest.mark.parametrize(
    "clean_up",
    [
        {"largest_component": ("one", "two")},
        {"fill_holes": ("one",)},
        {"fill_holes": ("two",), "largest_component": ("three",)},
        {"largest_together": (("one", "two"),)},
        {"largest_together": (("one", "two"), ("two", "three")), "fill_holes": ("three",)},
    ],
)
@pytest.mark.parametrize("wanted", [("one",), ("two",), ("one", "three")])
def test_clean_up_does_what_it_does_among_all(clean_up, wanted):
    blobs = np.random.default_rng(3).normal(size=(24, 24, 24))
    smooth = F.avg_pool3d(torch.from_numpy(blobs)[None, None], 5, 1, 2)[0, 0].numpy()
    classes = np.digitize(smooth, np.quantile(smooth, [0.5, 0.7, 0.85])).astype(np.uint8)
    image, model = Volume(classes[None], geometry(classes.shape)), echo(postprocessing=clean_up)
    every = Predictor(model, settings()).predict(image).labels.array
    some = Predictor(model, settings(*wanted)).predict(image).labels.array
    kept = [NAMES.index(name) + 1 for name in wanted]
    assert np.array_equal(some, np.where(np.isin(every, kept), every, 0))


def test_what_has_to_be_decided_follows_from_the_clean_up():
    plain = scheme(*NAMES)
    together = PostprocessingSection(largest_together=(("two", "three"), ("one", "two")))
    assert decided_targets(plain, (), together) == ()
    assert decided_targets(plain, ("two",), None) == ("two",)
    assert decided_targets(plain, ("one",), together) == NAMES
    assert decided_targets(plain, ("one",), PostprocessingSection(largest_component=("two",))) == ("one",)
    assert decided_targets(plain, ("one",), PostprocessingSection(fill_holes=("two",))) == ("one",)
    assert decided_targets(plain, ("one",), PostprocessingSection(fill_holes=("one",))) == ()
    overlapping = LabelScheme(plain.structures, overlapping=True)
    assert decided_targets(overlapping, ("one",), PostprocessingSection(fill_holes=("one",))) == ("one",)
    assert decided_targets(overlapping, ("one",), together) == ()


def test_clean_up_of_what_is_left():
    section = PostprocessingSection(
        largest_together=(("one", "two"), ("three",)), largest_component=("one", "three"), fill_holes=("two",)
    )
    kept = clean_up_of(section, ("three",))
    assert kept == PostprocessingSection(largest_together=(("three",),), largest_component=("three",))


def test_names_come_in_the_order_of_the_scheme():
    assert named_targets(scheme(*NAMES), ("three", "one", "three")) == ("one", "three")
    assert named_targets(scheme(*NAMES), ()) == ()
    regions = LabelScheme(scheme(*NAMES).structures, (Region("whole", NAMES), Region("core", ("one",))))
    assert named_targets(regions, ("core",)) == ("core",)
    with pytest.raises(InputError, match="a structure 'one'; it knows 'whole', 'core'"):
        named_targets(regions, ("one",))


def test_agreement_speaks_of_the_wanted_ones_only():
    torch.manual_seed(0)
    both = ensemble([bundle(structures=NAMES), bundle(structures=NAMES)])
    image = volume(geometry((20, 18, 17)))
    every, some = (Predictor(both, settings(*n, agreement=True)).predict(image).agreement for n in ((), ("two",)))
    assert some == {"two": every["two"]}


def test_no_name_is_all(model):
    labels = Predictor(model, settings()).predict(volume()).labels
    assert isinstance(labels, LabelMap)
    assert Predictor(model, settings()).scheme is model.scheme
