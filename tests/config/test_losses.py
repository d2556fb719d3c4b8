"""Sections that no loss would make sense of."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from medseg.config.losses import LossSection

KINDS = TypeAdapter(LossSection)


@pytest.mark.parametrize("name", ["tversky", "focal_tversky"])
def test_errors_have_to_cost_something(name):
    one_sided = {"name": name, "alpha": 0, "beta": 0.5}
    assert KINDS.validate_python(one_sided).beta == 0.5
    with pytest.raises(ValidationError, match="alpha and beta are both 0"):
        KINDS.validate_python(one_sided | {"beta": 0})


@pytest.mark.parametrize("name", ["dice_boundary", "dice_hausdorff"])
@pytest.mark.parametrize("reach", [0, 101])
def test_the_reach_is_bounded(name, reach):
    """Squared distances, and sums of two, are kept in 16 bits."""
    with pytest.raises(ValidationError, match="reach"):
        KINDS.validate_python({"name": name, "reach": reach})
