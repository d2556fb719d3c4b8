from __future__ import annotations

import pytest
from factories import run_config
from localised import localised_config, section
from pydantic import ValidationError

from medseg.config.load import dump_config, parse_config


def test_a_run_says_how_its_localiser_is_and_older_ones_have_none():
    config = localised_config()
    assert parse_config(dump_config(config), "x.yaml") == config
    assert "localiser" not in dump_config(run_config())
    assert run_config().localiser is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"patch": (7, 8, 8)},
            r"localiser.patch \(7, 8, 8\) does not fit the network's strides: 7 is no multiple of 2",
        ),
        ({"patch": (2, 2, 2)}, "is one voxel at the coarsest level"),
        ({"network": run_config(2).network.model_dump()}, "localiser.network is one of medseg's own 3D networks"),
        ({"network": {"name": "own", "dims": 3, "factors": (2, 2, 2)}}, "is one of medseg's own 3D networks"),
        ({"budget_share": 1.0}, "budget_share"),
        ({"margin_mm": -1.0}, "margin_mm"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        localised_config(localiser=section(**changes))
