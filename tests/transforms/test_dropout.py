"""Channels left out of patches: how often, and never all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medseg.transforms.dropout import NO_DROPOUT, ChannelDropout, sample_missing, without_channels


def patch(*absent: int, channels=3) -> np.ndarray:
    image = np.random.default_rng(0).normal(size=(channels, 4, 4, 4)).astype(np.float32)
    image[list(absent)] = 0
    return image


def drawn(dropout: ChannelDropout, image: np.ndarray, times=2000) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(1)
    return [sample_missing(dropout, image, rng) for _ in range(times)]


def test_nothing_is_drawn_where_nothing_may_be_missing():
    rng = np.random.default_rng(0)
    assert sample_missing(NO_DROPOUT, patch(1), rng) == ()
    assert rng.random() == np.random.default_rng(0).random()


def test_each_optional_channel_goes_by_itself_as_often_as_asked():
    found = drawn(ChannelDropout((0, 2), 0.3), patch())
    share = [np.mean([place in one for one in found]) for place in range(3)]
    assert share == pytest.approx([0.3, 0.0, 0.3], abs=0.03)
    assert np.mean([one == (0, 2) for one in found]) == pytest.approx(0.09, abs=0.02)


@given(st.floats(0, 1), st.sets(st.integers(0, 2), max_size=2))
def test_one_channel_always_stays_of_those_that_are_there(probability, absent):
    for missing in drawn(ChannelDropout((0, 1, 2), probability), patch(*absent), 20):
        assert absent <= set(missing) != {0, 1, 2}


def test_if_all_would_go_each_is_as_likely_to_stay():
    found = drawn(ChannelDropout((0, 1, 2), 1.0), patch())
    stays = [np.mean([place not in one for one in found]) for place in range(3)]
    assert stays == pytest.approx([1 / 3] * 3, abs=0.04)


def test_a_channel_that_the_case_lacks_is_missing():
    assert set(drawn(ChannelDropout((1,), 0.0), patch(1))) == {(1,)}
    assert set(drawn(ChannelDropout((0,), 0.0), patch(1))) == {()}, "a constant channel that has to be there is no gap"
    assert set(drawn(ChannelDropout((0, 1, 2), 0.5), patch(0, 1, 2), 50)) == {(0, 1, 2)}


def test_missing_channels_become_zero():
    image = torch.ones(3, 2, 2)
    assert without_channels(image, (0, 2)).sum(dim=(1, 2)).tolist() == [0, 4, 0]
    assert without_channels(torch.ones(1, 2, 2), ()).sum() == 4
