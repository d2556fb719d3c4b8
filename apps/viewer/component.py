"""The viewer as a Streamlit component."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from .assets import script_name
from .events import Click, SavedMask, ViewerEvents, read_events
from .scene import Scene

ASSET_ROUTE = "/medseg/viewer"
"""Path under which the app serves `asset_folder`."""
_NAME = "medseg_viewer"

# Streamlit serves files only of components that the distribution's own package declares, and ours has two packages. So
# this text goes with the page: it shows the slice that the server drew, and fetches the script from our own route. A
# text without a line break would be taken for a path.
_LOADER = """
export default async function (component) {
  const { data, parentElement } = component;
  const first = new Image();
  first.alt = '';
  first.style.cssText = `display:block;width:100%;height:${data.height}px;object-fit:contain;background:#000`;
  if (!parentElement.querySelector('.viewer')) {
    first.src = data.scene.first_slice_url;
    parentElement.append(first);
  }
  try {
    const { mount } = await import(new URL(data.script, window.location.origin).href);
    return mount(component);
  } finally {
    first.remove();
  }
}
"""


def viewer(
    scene: Scene,
    *,
    key: str,
    height: int = 720,
    on_saved: Callable[[SavedMask], object] | None = None,
    on_clicked: Callable[[Click], object] | None = None,
) -> ViewerEvents:
    """Show a scene, and say what happened in it since the last run.

    The viewer keeps its volumes, its drawing and its history over reruns, as long as ``key`` stays. What has to happen
    for a save belongs into ``on_saved``: it is called before the script runs, whereas a run of the script may be cut
    short by the next one before it comes to what this function returns.

    Args:
        scene: What to show.
        key: Names this viewer on the page.
        height: Of the viewer, in CSS pixels.
        on_saved: Called once for each save.
        on_clicked: Called once for each click with the tool for points.

    Raises:
        InputError: If the viewer's script is not built.
    """
    base = _base_path()
    data = {
        "scene": scene.as_json(base),
        "script": f"{base}{ASSET_ROUTE}/{script_name()}",
        "key": key,
        "height": height,
    }

    def saved() -> None:
        event = _told(key).saved
        if on_saved is not None and event is not None:
            on_saved(event)

    def clicked() -> None:
        event = _told(key).clicked
        if on_clicked is not None and event is not None:
            on_clicked(event)

    told = _renderer()(
        key=key,
        data=data,
        on_saved_change=saved,
        on_clicked_change=clicked,
        on_changed_change=_ignore,
        on_ready_change=_ignore,
        on_location_change=_ignore,
        on_error_change=_ignore,
    )
    return read_events(told)


def _told(key: str) -> ViewerEvents:
    """What the browser told last, while callbacks run."""
    import streamlit  # noqa: PLC0415

    told = streamlit.session_state.get(key)
    return read_events(told) if isinstance(told, Mapping) else ViewerEvents()


@functools.cache
def _renderer() -> Callable[..., Any]:
    from streamlit.components.v2 import component  # noqa: PLC0415 - the scene is of use without Streamlit

    return component(_NAME, js=_LOADER)


def _base_path() -> str:
    import streamlit  # noqa: PLC0415

    base = str(streamlit.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}" if base else ""


def _ignore() -> None:
    """Streamlit lets a value through only if something is called when it changes."""
