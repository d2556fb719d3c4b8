"""One case on a page: the viewer, the decision, and what there is to know besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st
from medseg_app import in_use
from medseg_viewer import ViewerEvents, viewer

from medseg.review.desk import Seat
from medseg.review.records import CaseName, Reader
from medseg.review.worklist import WorkItem, next_case

from . import (
    case_panel,
    compare_panel,
    decide_panel,
    doubt_panel,
    drafts_bar,
    export_panel,
    model_panel,
    refine_panel,
    versions_panel,
)
from .person import reader_or_sign_in, who
from .place import WORK_LIST, current_case, current_jump, go_to_case, remember
from .plain import count, plain
from .scene import Wishes, scene_of
from .status import status_badge
from .trouble import explained
from .visit import visit

_HEIGHT = 1600
"""Of the viewer, where the window is that high; `style.css` keeps it within the window."""
_PANELS = {
    "Versions": versions_panel.show,
    "Refine": refine_panel.show,
    "Compare": compare_panel.show,
    "Uncertainty": doubt_panel.show,
    "Model": model_panel.show,
    "Export": export_panel.show,
    "Case": case_panel.show,
}


def show() -> None:
    """The case of the page's address."""
    reader, desk, name = reader_or_sign_in(), in_use.desk(), current_case()
    if name is None:
        _nothing_open()
        return
    with st.spinner("Reading the case …"):
        seat = desk.sit(visit().number, name, reader)
    remember(name)
    items = desk.work(reader)
    head = st.container(horizontal=True, vertical_alignment="center", gap="small", key="head")
    left, right = st.columns((3.8, 1), gap="small")
    wishes = Wishes(jump=current_jump())
    with right, explained():
        _neighbours(items, name)
        decide_panel.told(seat)
        wishes = _chosen_panel(seat, reader)
        st.caption(plain(who(reader)))
    with left, explained():
        drafts_bar.show(seat)
        events = _viewer(seat, replace(wishes, channel=_channel(seat), test=in_use.is_test()))
        with head:
            _heading(items, name)
            decide_panel.buttons(seat, items, is_unsaved=events.changed or seat.sitting.shown.is_draft)
    _prepare_next(items, name, reader)


def _nothing_open() -> None:
    st.title("Review", anchor=False)
    st.info("No case is open.", icon=":material/visibility_off:")
    st.page_link(WORK_LIST, label="Choose one from the work list", icon=":material/list_alt:")


def _heading(items: Sequence[WorkItem], name: CaseName) -> None:
    """Which case it is, where it stands, and what is odd about it."""
    item = next(item for item in items if item.record.name == name)
    st.markdown(f"**{plain(name)}**", width="content")
    status_badge(item.status)
    flags = item.record.flags
    if flags:
        with st.popover(count(len(flags), "finding", "findings"), icon=":material/flag:", help="Unlike training"):
            for flag in flags:
                st.text(" ".join(filter(None, (flag.target, flag.text))))


def _neighbours(items: Sequence[WorkItem], name: CaseName) -> None:
    """The way to the case before, and to the next one that is open."""
    names = [item.record.name for item in items]
    place = names.index(name)
    before, after = names[place - 1] if place else None, next_case(items, name)
    left, right = st.columns(2, gap="small")
    if left.button("Previous", shortcut="Alt+P", disabled=before is None, width="stretch") and before:
        go_to_case(before)
    if right.button("Next", shortcut="Alt+N", disabled=after is None, width="stretch") and after:
        go_to_case(after)


def _chosen_panel(seat: Seat, reader: Reader) -> Wishes:
    chosen = st.segmented_control(
        "Panel", list(_PANELS), default="Versions", required=True, key="panel", label_visibility="collapsed", wrap=True
    )
    return _PANELS[chosen or "Versions"](seat, reader)


def _channel(seat: Seat) -> str:
    """The channel to show, where there are several."""
    channels = seat.sitting.opened.channels
    if len(channels) < 2:
        return ""
    key = f"channel {seat.sitting.shown.version.case}"
    return st.segmented_control("Channel", channels, default=channels[0], required=True, key=key) or ""


def _viewer(seat: Seat, wishes: Wishes) -> ViewerEvents:
    """The viewer; what was drawn is saved when it says so."""
    scene = scene_of(seat, visit().holder, wishes)
    events = viewer(scene, key="viewer", height=_HEIGHT)
    if events.clicked is not None and wishes.takes_clicks:
        refine_panel.follow(seat, events.clicked)
    if events.saved is not None:
        drafts_bar.tell_saved(seat.sitting.save(events.saved.sha256))
        st.rerun()
    return events


def _prepare_next(items: Sequence[WorkItem], name: CaseName, reader: Reader) -> None:
    following = next_case(items, name)
    if following is not None:
        in_use.desk().prepare(visit().number, following, reader)
