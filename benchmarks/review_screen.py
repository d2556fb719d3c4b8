"""A case on the screen of a real browser: when it is there, what goes over the wire, what memory it takes."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from review_browser import LONGEST_MS, Moved, Opening, Tab, Wire, browser_mib, opened, running_browser, tab_of
from review_load import free_port
from review_material import write_studies
from review_server import Server, running

from medseg.config.review import ReviewConfig
from medseg.core.geometry import Shape, Spacing
from medseg.core.pseudonyms import load_key
from medseg.review.records import CaseName, Version
from medseg.review.store import read_store

_SIDE, _ROUNDS, _STEPS = 256, 3, 20
_ISOTROPIC, _OF_CT = (1.5, 1.5, 1.5), (0.8, 0.8, 1.0)
_STROKE = ((0.35, 0.45), (0.6, 0.45))
_SETTLE_S = 1.0
_KB = 1000


@dataclass(frozen=True)
class _Shown:
    """The app with studies, and a browser in front of it."""

    server: Server
    browser: Any
    config: ReviewConfig
    names: Sequence[str]

    @contextlib.contextmanager
    def tab(self) -> Iterator[tuple[Tab, Wire]]:
        """A tab of a browser that has nothing in its cache."""
        with tab_of(self.browser, self.server.url) as tab:
            tab.page.set_default_timeout(LONGEST_MS)
            yield tab, Wire(tab)


def study_of_256() -> dict[str, object]:
    """Opening a study of 256³ voxels in three ways, and what is moved by looking at it."""
    with _shown((_SIDE,) * 3, _ISOTROPIC, 2 * _ROUNDS) as shown:
        by_address, opening = [], Moved()
        for name in shown.names[:_ROUNDS]:
            with shown.tab() as (tab, wire):
                by_address.append(opened(tab, name))
                _settle(tab)
                opening = wire.taken()
        with shown.tab() as (tab, wire):
            from_list = [_from_list(tab, name) for name in reversed(shown.names[_ROUNDS:])]  # against the reading ahead
            following = _next(tab)
            _settle(tab)
            looking = _looked(tab, wire)
        version = shown.browser.version
    return {
        "study": f"{_SIDE}³ voxels, int16, packed NIfTI with a prediction of six structures",
        **_times("by its address, nothing cached", by_address),
        **_times("from the work list", from_list),
        **_times("next case, read ahead", [following]),
        "bytes to open by address": _bytes(opening),
        **{f"bytes, {what}": _bytes(moved) for what, moved in looking.items()},
        "browser": f"Chromium {version}, llvmpipe",
    }


def large_ct(shape: Shape) -> dict[str, object]:
    """A large CT: what it opens as, when, in how much memory, and an edit of it."""
    with _shown(shape, _OF_CT, 1) as shown:
        before, server_before = browser_mib(), shown.server.memory().pss
        with shown.tab() as (tab, wire):
            opening = opened(tab, shown.names[0])
            _settle(tab)
            moved = wire.taken()
            browser, server = browser_mib(), shown.server.memory().pss
            notice, served = tab.viewer("v.scene.notice"), tab.viewer("[...v.stage.nv.volumes[0].dims.slice(1, 4)]")
            begun = time.perf_counter()
            tab.paint(1, *_STROKE)
            drawn_s, begun = time.perf_counter() - begun, time.perf_counter()
            tab.save()
            saved_s = time.perf_counter() - begun
            edit = wire.taken()
            browser_after, server_after = browser_mib(), shown.server.memory().pss
        version = _saved(shown)
    return {
        "CT": f"{' x '.join(map(str, shape))} voxels, int16, packed NIfTI with a prediction of six structures",
        "in the browser": f"{' x '.join(map(str, served))} voxels",
        "notice": notice or "none: it is shown whole",
        **_times("by its address, nothing cached", [opening]),
        "bytes to open": _bytes(moved),
        "a stroke": f"{drawn_s:.1f} s",
        "saved as a version": f"{saved_s:.1f} s, {_bytes(edit)}",
        "what the version changed": ", ".join(f"{name} {ml:.2f} mL" for name, ml in version.changed_ml.items() if ml),
        "memory of the browser": f"{before:.0f} MiB empty, {browser:.0f} MiB open, {browser_after:.0f} MiB when saved",
        "memory of the server": f"{server_before:.0f} MiB, {server:.0f} MiB open, {server_after:.0f} MiB when saved",
        "browser's version": f"Chromium {shown.browser.version}, llvmpipe",
    }


@contextlib.contextmanager
def _shown(shape: Shape, spacing: Spacing, count: int) -> Iterator[_Shown]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_studies(folder, "study", shape, spacing, count)
        config = ReviewConfig(folder=folder / "review", key=folder / "project.key", sources=(source,))
        with running(config, folder, free_port()) as server, running_browser() as browser:
            yield _Shown(server, browser, config, _names(browser, server.url))


def _names(browser: Any, url: str) -> list[str]:
    """What the cases are called, in the order of the work list; nothing of it stays in the browser."""
    with tab_of(browser, url) as tab:
        tab.go()
        tab.see(tab.button("^case-"))
        found: list[str] = tab.page.get_by_role("button").all_inner_texts()
    return [name for name in found if name.startswith("case-")]


def _from_list(tab: Tab, name: str) -> Opening:
    tab.go()
    tab.see(tab.button(f"^{name}"))
    tab.settle()
    return opened(tab, name, press=name)


def _next(tab: Tab) -> Opening:
    """Go on to the next case, once it has been read ahead."""
    _settle(tab)
    return opened(tab, "", press="Next")


def _looked(tab: Tab, wire: Wire) -> dict[str, Moved]:
    """What is moved by looking at a case that is open."""
    viewer, looking = tab.viewer, {}
    tab.page.mouse.move(*viewer.at("axial", 0.5, 0.5))
    wire.taken()
    begun = viewer("v.stage.voxel[2]")
    for _ in range(_STEPS):
        tab.page.mouse.wheel(0, 120)
    viewer.wait(f"Math.abs(v.stage.voxel[2] - {begun}) === {_STEPS}")
    looking[f"{_STEPS} slices"] = _moved(tab, wire)
    begun = viewer("v.look.opacity")
    tab.page.get_by_label("Opacity of the structures").press("ArrowRight")
    viewer.wait(f"v.look.opacity !== {begun}")
    looking["opacity changed"] = _moved(tab, wire)
    begun = viewer("v.window[0]")
    viewer.focus()
    tab.key("Shift+Digit2")
    viewer.wait(f"v.window[0] !== {begun}")
    looking["window changed"] = _moved(tab, wire)
    tab.choose("Case")
    looking["another panel"] = _moved(tab, wire)
    return looking


def _moved(tab: Tab, wire: Wire) -> Moved:
    _settle(tab)
    return wire.taken()


def _settle(tab: Tab) -> None:
    """Until the page has come to rest, and the next case is read ahead."""
    tab.settle()
    tab.page.wait_for_timeout(1000 * _SETTLE_S)


def _saved(shown: _Shown) -> Version:
    """The version that was saved."""
    with read_store(shown.config.folder, load_key(shown.config.key)) as store:
        return store.versions(CaseName(shown.names[0]))[-1]


def _times(how: str, openings: Sequence[Opening]) -> dict[str, object]:
    """Seconds until each stage, medians."""
    stages = {
        name: statistics.median(getattr(one, name) for one in openings)
        for name in ("page", "read", "slice", "voxels", "ready")
    }
    parts = [
        f"page {stages['page']:.2f} s" if stages["page"] else "",
        f"case read {stages['read']:.2f} s",
        f"**first slice {stages['slice']:.2f} s**",
        f"voxels here {stages['voxels']:.2f} s",
        f"viewer ready {stages['ready']:.2f} s",
    ]
    return {how: ", ".join(filter(None, parts))}


def _bytes(moved: Moved) -> str:
    """Bytes by kind."""
    kinds = {"page": "page", "viewer": "viewer's script", "voxels": "voxels", "slice": "slices", "mask": "masks"}
    parts = [f"{words} {_size(moved.bytes[kind])}" for kind, words in kinds.items() if moved.count[kind]]
    return ", ".join([_size(moved.total), *parts, f"WebSocket {_size(moved.bytes['socket'])}"])


def _size(count: int) -> str:
    return f"{count / _KB / _KB:.1f} MB" if count >= _KB * _KB else f"{count / _KB:.1f} kB" if count else "0"
