"""The build backend of the wheel: setuptools, with the viewer's script built first.

An editable install builds nothing, so that it needs no Node: `make viewer` does it where the app is wanted.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from setuptools import build_meta

build_editable = build_meta.build_editable
build_sdist = build_meta.build_sdist
get_requires_for_build_editable = build_meta.get_requires_for_build_editable
get_requires_for_build_sdist = build_meta.get_requires_for_build_sdist
prepare_metadata_for_build_editable = build_meta.prepare_metadata_for_build_editable
prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel

_Settings = dict[str, Any] | None
_VIEWER = Path(__file__).resolve().parent.parent / "apps" / "viewer" / "build.py"


def get_requires_for_build_wheel(config_settings: _Settings = None) -> list[str]:
    """What the build needs: Node from PyPI, if there is none on the PATH and the script is not built."""
    viewer = _viewer_build()
    needs = build_meta.get_requires_for_build_wheel(config_settings)
    has_node = viewer.is_current() or viewer.npm_command() is not None
    return needs if has_node else [*needs, viewer.NODE_PACKAGE]


def build_wheel(wheel_directory: str, config_settings: _Settings = None, metadata_directory: str | None = None) -> str:
    """Build the viewer's script, then the wheel that carries it."""
    _viewer_build().build()
    return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def _viewer_build() -> ModuleType:
    """The viewer's build module by its path: the package that it belongs to needs more than setuptools."""
    spec = importlib.util.spec_from_file_location("viewer_build", _VIEWER)
    if spec is None or spec.loader is None:
        raise ImportError(f"no module at {_VIEWER.name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
