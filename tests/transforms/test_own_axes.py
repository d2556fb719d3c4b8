"""Images taken with the axes of their files, in any order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from factories import ALL_ORIENTATIONS, geometry, run_config, scheme, volume
from pydantic import ValidationError

from medseg.config.sections import PreprocessingSection
from medseg.core.geometry import AxisMap
from medseg.planning.plan import mirror_axes
from medseg.transforms.preprocess import prepare_image

ORDERS = ["".join(letters) for letters in itertools.permutations("ijk")]


@pytest.mark.parametrize("order", ORDERS)
def test_axes_are_reordered_and_never_flipped(order):
    places = tuple("ijk".index(letter) for letter in order)
    for codes in ALL_ORIENTATIONS[::7]:
        assert geometry(codes=codes).axis_map(order) == AxisMap(places, (False, False, False))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("codes", ["RAS", "LPS", "IAR"])
def test_the_network_sees_the_file_as_it_lies_and_the_way_back_is_known(order, codes):
    image = volume(geometry((7, 8, 9), codes=codes))
    channels = run_config().channels
    prepared = prepare_image(image, PreprocessingSection(orientation=order), channels)
    places = tuple("ijk".index(letter) for letter in order)
    values = image.array[0].transpose(places).astype(np.float64)
    assert np.allclose(prepared.image[0], (values - values.mean()) / values.std(), atol=1e-5)
    back = prepared.restoration.axes.inverse.apply(prepared.image[0])
    assert back.shape == image.array[0].shape
    assert np.array_equal(back, prepared.image[0].transpose(np.argsort(places)))


@pytest.mark.parametrize("codes", ["iij", "ijS", "ij", "IJK"])
def test_letters_that_are_no_axes(codes):
    with pytest.raises(ValidationError, match="give three letters, one each of R/L, A/P and S/I.* or i, j and k"):
        PreprocessingSection(orientation=codes)


def test_where_nobody_knows_sides_nothing_is_mirrored_that_has_sides():
    assert mirror_axes(scheme("left kidney", "right kidney"), "kji", 3)[0] == ()
    assert mirror_axes(scheme("liver", "spleen"), "kji", 3)[0] == (0, 1, 2)
