"""medseg: segment medical images.

The public names are listed here, each once; modules are imported when a name is first used, so that
``import medseg`` and ``medseg --help`` load no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .core.geometry import Geometry as Geometry
    from .core.labels import LabelScheme as LabelScheme
    from .core.labels import Structure as Structure
    from .core.volume import LabelMap as LabelMap
    from .core.volume import MultiLabelMap as MultiLabelMap
    from .core.volume import Volume as Volume

__version__ = "0.1.0"

_HOMES = {
    "Geometry": "core.geometry",
    "LabelMap": "core.volume",
    "LabelScheme": "core.labels",
    "MultiLabelMap": "core.volume",
    "Structure": "core.labels",
    "Volume": "core.volume",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'medseg' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*_HOMES, "__version__"])
