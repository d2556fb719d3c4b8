"""Sections that no network can be built from."""

from __future__ import annotations

import pytest
from factories import run_config
from network_sections import NAMES, tiny
from pydantic import TypeAdapter, ValidationError

from medseg.config.networks import NetworkChoice, NetworkSection, OwnNetworkSection

KINDS = TypeAdapter(NetworkSection)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_section_is_found_by_its_name(name, dims):
    section = tiny(name, dims)
    assert KINDS.validate_python(section.model_dump(mode="json")) == section
    assert section.width > 0
    assert len(section.factors) == dims


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("resenc", {"blocks": (1, 2)}, "blocks needs one entry a level: 3, not 2"),
        ("resenc", {"strides": ((2, 2), (2, 2), (2, 2))}, "the first level's stride is all ones"),
        ("resenc", {"kernels": ((3, 3), (2, 3), (3, 3))}, "kernels are odd"),
        ("deeplab", {"blocks": (1,)}, "blocks needs one entry a level: 3, not 1"),
        ("deeplab", {"skip": 2}, "skip is a level above the coarsest: 0 to 1, not 2"),
        ("deeplab", {"rates": (2, 1)}, r"rates rise from branch to branch, \(2, 1\) do not"),
        ("deeplab", {"rates": (2, 2)}, "rates rise from branch to branch"),
        ("deeplab", {"rates": ()}, "at least 1 item"),
        ("attention_unet", {"kernels": ((1, 3), (3, 3), (3, 3))}, "one size along all axes"),
        ("attention_unet", {"features": (1, 2, 4)}, "at least 2 features a level"),
        ("attention_unet", {"strides": ((1, 1), (2, 2))}, "need one entry a level"),
        ("segresnet", {"blocks_up": (1,)}, "one level fewer than blocks_down"),
        ("swin_unetr", {"features": 20}, "a multiple of 12, 20 is not"),
        ("swin_unetr", {"heads": (3, 6, 12, 25)}, "stage 3 has 96 features, no multiple of 25 heads"),
        ("swin_unetr", {"heads": (3, 6, 12)}, "heads"),
        ("swin_unetr", {"window": 0}, "greater than 0"),
        ("swin_unetr", {"features": 240}, "less than or equal to 192"),
        ("mednext", {"blocks_up": (1,)}, "need the same number of levels"),
        ("mednext", {"expansion_down": (2, 2, 2)}, "need the same number of levels"),
        ("mednext", {"kernel": 4}, "kernel is odd, 4 is not"),
        ("mednext", {"kernels": ((3, 3),)}, "Extra inputs are not permitted"),
        ("mednext", {"dims": 4}, "Input should be 2 or 3"),
    ],
)
def test_a_section_that_cannot_be_built_says_why(name, changes, message):
    with pytest.raises(ValidationError, match=message):
        KINDS.validate_python(tiny(name, 2).model_dump() | changes)


def test_a_network_of_one_s_own_may_take_one_size_only():
    network = OwnNetworkSection(dims=3, factors=(32, 32, 16))
    patch = run_config(network=network, sampling={"patch": (32, 32, 16), "batch": 2}).sampling.patch
    assert patch == network.factors


def test_choices_read_as_they_are_typed():
    assert [*NetworkChoice] == [
        "unet", "unet_small", "resenc_m", "resenc_l", "deeplab", "segresnet", "swin_unetr", "mednext",
        "attention_unet",
    ]  # fmt: skip
