"""Training budgets as people write them: ``20min``, ``2h``, ``200ep``."""

from __future__ import annotations

import re

from medseg.core.errors import ConfigError

from .training import BudgetSection

_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|ep|epochs)\s*")
_MINUTES = {"s": 1 / 60, "min": 1.0, "h": 60.0}


def parse_budget(text: str, steps: int = 50) -> BudgetSection:
    """The budget that a text such as ``20min``, ``1.5h`` or ``200ep`` names.

    Args:
        text: A number and one of s, min, h, ep.
        steps: Optimizer steps an epoch.

    Raises:
        ConfigError: If the text is not of that form, or not positive.
    """
    match = _FORM.fullmatch(text)
    amount = float(match.group(1)) if match else 0.0
    if match is None or amount <= 0:
        raise ConfigError(f"budget {text!r} is not a positive number with s, min, h or ep, such as 20min or 200ep")
    unit = match.group(2)
    if unit in _MINUTES:
        return BudgetSection(minutes=amount * _MINUTES[unit], steps=steps)
    if not amount.is_integer():
        raise ConfigError(f"budget {text!r}: epochs are whole numbers")
    return BudgetSection(epochs=int(amount), steps=steps)
