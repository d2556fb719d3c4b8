"""Where the viewer's script is. It is built from `src` and NiiVue; a wheel carries it, a checkout does not."""

from __future__ import annotations

from pathlib import Path

from medseg.core.errors import InputError

_FOLDER = Path(__file__).parent / "assets"
_SCRIPTS = "viewer-*.js"


def asset_folder() -> Path:
    """Folder of the files that the browser may have."""
    return _FOLDER


def script_name() -> str:
    """Name of the script in `asset_folder`; a part of it is a digest of the content, so it may be cached for ever.

    Raises:
        InputError: If it is not built.
    """
    scripts = sorted(_FOLDER.glob(_SCRIPTS))
    if len(scripts) != 1:
        raise InputError(
            "the viewer is not built; run 'python -m medseg_viewer.build' (it needs Node or pip), then again"
        )
    return scripts[0].name
