"""The work list on a page: what there is to review, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from medseg_app import in_use

from medseg.review.records import Reader
from medseg.review.worklist import CaseStatus, WorkItem, filtered, next_case

from .person import reader_or_sign_in, who
from .place import go_to_case
from .plain import count, link, moment, plain
from .status import STATUS, status_badge

_ROWS = 20
_WIDTHS = (2.2, 1.5, 1.8, 1.6, 5.2, 0.8)
_HEADS = ("Case", "Status", "Model", "Predicted", "Unlike training", "Versions")


@dataclass(frozen=True)
class Filters:
    """What the reader wants to see."""

    statuses: frozenset[CaseStatus]
    text: str
    flagged: bool
    mine: bool


def show() -> None:
    """Filters, a button for the first case, and a page of rows."""
    reader, desk = reader_or_sign_in(), in_use.desk()
    _heading(reader)
    items = desk.work(reader)
    if not items:
        _nothing_yet()
        return
    filters = _filters()
    fitting = filtered(
        items, statuses=filters.statuses, text=filters.text, flagged=filters.flagged, mine=filters.mine or None
    )
    _lead(items, fitting)
    if fitting:
        _rows(fitting)
    for note in desk.notes:
        st.caption(plain(note))


def _heading(reader: Reader) -> None:
    title, right = st.columns((3, 2), vertical_alignment="bottom")
    title.title("Work list", anchor=False)
    with right.container(horizontal=True, horizontal_alignment="right"):
        st.text(who(reader))
        if in_use.desk().config.login is not None:
            st.button("Sign out", type="tertiary", icon=":material/logout:", on_click=st.logout)


def _nothing_yet() -> None:
    st.info(
        "There is nothing to review yet. Upload a study, or name a folder in the configuration.",
        icon=":material/inbox:",
    )
    for note in in_use.desk().notes:
        st.caption(plain(note))


def _filters() -> Filters:
    statuses, text, flagged, mine = st.columns((6.2, 2.2, 1.2, 1.1), vertical_alignment="bottom")
    chosen = statuses.pills(
        "Status",
        list(CaseStatus),
        selection_mode="multi",
        format_func=lambda one: f"{STATUS[one].icon} {STATUS[one].word}",
        key="filter status",
    )
    words = text.text_input("Search", placeholder="Case, model or finding", key="filter text")
    return Filters(
        frozenset(chosen or ()),
        words,
        flagged.toggle("Only flagged", key="filter flagged"),
        mine.toggle("Only mine", key="filter mine"),
    )


def _lead(items: Sequence[WorkItem], fitting: Sequence[WorkItem]) -> None:
    words, button = st.columns((5, 2), vertical_alignment="center")
    open_ones = sum(not item.status.is_settled for item in items)
    shown = f"{count(len(fitting), 'case', 'cases')} shown, " if len(fitting) != len(items) else ""
    words.caption(
        f"{shown}{count(len(items), 'case', 'cases')} in all, {open_ones} of them open; the worst come first."
    )
    first = next_case(fitting, None)
    if first is not None:
        label = f"Open {plain(first)}"
        if button.button(label, type="primary", shortcut="O", width="stretch", icon=":material/play_arrow:"):
            go_to_case(first)
    if not fitting:
        st.info("No case is like this; take a filter away.", icon=":material/filter_alt_off:")


def _rows(items: Sequence[WorkItem]) -> None:
    pages = -(-len(items) // _ROWS)
    chosen = 1
    if pages > 1:
        st.session_state["work page"] = min(st.session_state.get("work page", 1), pages)
        chosen = st.pagination(pages, key="work page")
    with st.container(key="heads"):
        for column, head in zip(st.columns(_WIDTHS), _HEADS, strict=True):
            column.caption(head)
    for item in items[(chosen - 1) * _ROWS : chosen * _ROWS]:
        _row(item)


def _row(item: WorkItem) -> None:
    with st.container(key=f"row-{item.record.name}"):
        _cells(item)


def _cells(item: WorkItem) -> None:
    name, status, model, made, flags, versions = st.columns(_WIDTHS, vertical_alignment="center")
    label, key = link(item.record.name), f"open {item.record.name}"
    if name.button(label, type="tertiary", key=key, help="Open this case"):
        go_to_case(item.record.name)
    with status:
        status_badge(item.status)
    model.text(" ".join(filter(None, (item.record.model.name, item.record.model.version))) or "-")
    made.text(moment(item.record.made))
    flags.text(_flags(item))
    versions.text(str(item.versions))


def _flags(item: WorkItem) -> str:
    """The first finding about a case, and how many more there are."""
    if not item.record.flags:
        return ""
    first, more = item.record.flags[0], len(item.record.flags) - 1
    words = " ".join(filter(None, (first.target, first.text)))
    return f"⚑ {words}, and {more} more" if more else f"⚑ {words}"
