"""The decision about a case: three buttons, what is said with them, and what was decided before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from medseg_app import in_use

from medseg.review.access import Deed, may
from medseg.review.desk import Seat
from medseg.review.records import Decision, Difficulty, Verdict
from medseg.review.worklist import WorkItem, next_case

from .place import go_to_case
from .plain import moment
from .status import DIFFICULTY, VERDICT

KEYS = {Verdict.ACCEPTED: "Alt+A", Verdict.NEEDS_WORK: "Alt+W", Verdict.REJECTED: "Alt+X"}


@dataclass(frozen=True)
class Words:
    """What a reader says besides the verdict."""

    difficulty: Difficulty | None
    comment: str
    goes_on: bool


def words(seat: Seat) -> Words:
    """What was decided before, and fields for what is to be said about the version on the screen."""
    version = seat.sitting.shown.version
    about = f"{version.case} {version.number}"
    with st.container(border=True, key="decision", gap="small"):
        st.markdown(f"**Version {version.number}** is on the screen")
        _told(seat)
        difficulty = st.segmented_control(
            "How hard was it?", list(Difficulty), format_func=DIFFICULTY.__getitem__, key=f"difficulty {about}"
        )
        comment = st.text_area(
            "Comment", key=f"comment {about}", height=68, max_chars=4000, placeholder="For the next reader"
        )
        goes_on = st.toggle("A decision goes on to the next case", value=True, key="goes on")
    return Words(difficulty, comment, goes_on)


def buttons(seat: Seat, items: Sequence[WorkItem], said: Words, *, is_unsaved: bool) -> None:
    """The verdict on the version on the screen; with strokes that are not saved it has to wait."""
    for verdict, look in VERDICT.items():
        if st.button(
            look.word.capitalize(),
            icon=look.icon,
            shortcut=KEYS[verdict],
            type="primary" if verdict is Verdict.ACCEPTED else "secondary",
            disabled=is_unsaved,
            help="Save your strokes first: Ctrl+S in the viewer." if is_unsaved else None,
            key=f"verdict {verdict}",
        ):
            seat.sitting.decide(verdict, said.difficulty, said.comment)
            _go_on(seat, items, verdict, goes_on=said.goes_on)


def _told(seat: Seat) -> None:
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


def _go_on(seat: Seat, items: Sequence[WorkItem], verdict: Verdict, *, goes_on: bool) -> None:
    name = seat.sitting.shown.version.case
    following = next_case(items, name) if goes_on else None
    st.toast(f"{name}: {verdict}", icon=VERDICT[verdict].icon)
    if following is not None:
        go_to_case(following)
    st.rerun()
