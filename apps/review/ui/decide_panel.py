"""The decision about a case: three buttons, what is said with them, and what was decided before."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from medseg_app import in_use

from medseg.review.access import Deed, may
from medseg.review.desk import Seat
from medseg.review.records import Decision, Difficulty, Verdict
from medseg.review.texts import LONGEST_COMMENT
from medseg.review.worklist import WorkItem, next_case

from .place import go_to_case
from .plain import moment
from .status import DIFFICULTY, VERDICT

_GOES_ON = "goes on"
KEYS = {Verdict.ACCEPTED: "Alt+A", Verdict.NEEDS_WORK: "Alt+W", Verdict.REJECTED: "Alt+X"}


def told(seat: Seat) -> None:
    """Which version is on the screen, and what was decided before."""
    with st.container(border=True, key="decision", gap="xsmall"):
        st.markdown(f"**Version {seat.sitting.shown.version.number}** is on the screen")
        _decisions(seat)
        st.toggle("A decision goes on to the next case", value=True, key=_GOES_ON)


def buttons(seat: Seat, items: Sequence[WorkItem], *, is_unsaved: bool) -> None:
    """The verdict on the version on the screen; with strokes that are not saved it has to wait.

    It is a form, so that words which are still being typed are taken along when a key is pressed.
    """
    about = f"{seat.sitting.shown.version.case} {seat.sitting.shown.version.number}"
    pressed: Verdict | None = None
    with (
        st.form(f"verdict {about}", border=False, enter_to_submit=False),
        st.container(horizontal=True, vertical_alignment="center", gap="small"),
    ):
        difficulty = st.selectbox(
            "How hard was it?",
            list(Difficulty),
            index=None,
            format_func=DIFFICULTY.__getitem__,
            placeholder="How hard?",
            label_visibility="collapsed",
            width=118,
        )
        comment = st.text_input(
            "Comment",
            max_chars=LONGEST_COMMENT,
            placeholder="Comment for the next reader",
            label_visibility="collapsed",
        )
        for verdict in Verdict:
            if _button(verdict, is_unsaved=is_unsaved):
                pressed = verdict
    if pressed is not None:
        seat.sitting.decide(pressed, difficulty, comment)
        _go_on(seat, items, pressed)


def _button(verdict: Verdict, *, is_unsaved: bool) -> bool:
    look = VERDICT[verdict]
    return st.form_submit_button(
        look.word.capitalize(),
        icon=look.icon,
        shortcut=KEYS[verdict],
        type="primary" if verdict is Verdict.ACCEPTED else "secondary",
        disabled=is_unsaved,
        help="Save your strokes first: Ctrl+S in the viewer." if is_unsaved else None,
        key=f"verdict {verdict}",
    )


def _decisions(seat: Seat) -> None:
    """The latest decision of each reader whose decisions this reader may see."""
    reader = seat.sitting.reader
    sees_all = may(reader, Deed.SEE_ALL_VERSIONS, in_use.desk().config)
    latest: dict[str, Decision] = {}
    for decision in seat.sitting.decisions:
        if sees_all or decision.reader == reader.name:
            latest[decision.reader] = decision
    for decision in latest.values():
        whose = "You" if decision.reader == reader.name else decision.reader
        hard = f", {decision.difficulty}" if decision.difficulty else ""
        st.text(f"{whose}: version {decision.version} {decision.verdict}{hard}, {moment(decision.made)}")
        if decision.comment:
            st.text(f"“{decision.comment}”")


def _go_on(seat: Seat, items: Sequence[WorkItem], verdict: Verdict) -> None:
    name = seat.sitting.shown.version.case
    following = next_case(items, name) if st.session_state.get(_GOES_ON, True) else None
    st.toast(f"{name}: {verdict}", icon=VERDICT[verdict].icon)
    if following is not None:
        go_to_case(following)
    st.rerun()
