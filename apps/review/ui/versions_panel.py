"""The versions of a case's outlines: which is on the screen, who made them, what changed."""

from __future__ import annotations

import math
from itertools import combinations

import streamlit as st

from medseg.review.agreement import DiceMatrix
from medseg.review.desk import Seat
from medseg.review.records import Reader, Version

from .place import current_jump
from .plain import millilitres, moment
from .scene import Wishes


def show(seat: Seat, reader: Reader) -> Wishes:
    """Versions, the newest first, each with a button that puts it on the screen."""
    sitting = seat.sitting
    _target(seat)
    st.caption("Older versions stay. Strokes on one of them become a new version.")
    for version in reversed(sitting.versions):
        _row(seat, version, reader)
    _agreement(seat)
    return Wishes(jump=current_jump())


def _target(seat: Seat) -> None:
    """The structure to draw, where structures overlap and only one is drawn at a time."""
    sitting = seat.sitting
    if not sitting.targets:
        return
    chosen = st.selectbox(
        "Structure to draw",
        sitting.targets,
        index=sitting.targets.index(sitting.shown.target or sitting.targets[0]),
        help="The structures of this case may overlap, so one is drawn at a time; the others are shown with it.",
    )
    if chosen != sitting.shown.target:
        sitting.choose(chosen)
        st.rerun()


def _row(seat: Seat, version: Version, reader: Reader) -> None:
    is_shown = version.number == seat.sitting.shown.version.number
    with st.container(border=True, gap="xxsmall", key=f"version {version.number}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Version {version.number}**", width="stretch")
            if is_shown:
                st.badge("on the screen", icon=":material/visibility:", color="green")
            elif st.button("Show", key=f"show {version.number}", icon=":material/visibility:"):
                seat.sitting.show(version.number, seat.sitting.shown.target)
                st.rerun()
        if version.parent is None and seat.sitting.opened.case.files.prediction is None:
            st.text("nothing is outlined yet")
            return
        st.text(f"{'you' if version.author == reader.name else version.author}, {moment(version.made)}")
        if version.parent is None:
            st.text("the outlines as they came")
        else:
            st.text(f"from version {version.parent}: {_changes(version)}")


def _agreement(seat: Seat) -> None:
    """How far the newest versions of all authors agree, if there are several."""
    if len({version.author for version in seat.sitting.versions}) < 2:
        return
    if not st.button("How far do they agree?", icon=":material/groups:", width="stretch"):
        return
    with st.spinner("Comparing …"):
        matrix = seat.over.between_readers()
    if matrix is not None:
        st.dataframe(_pairs(matrix), hide_index=True, row_height=28, alt="Dice of each two authors")


def _pairs(matrix: DiceMatrix) -> list[dict[str, str]]:
    """A row for each two authors and structure."""
    return [
        {
            "One": matrix.readers[one],
            "Other": matrix.readers[other],
            "Structure": target,
            "Dice": "-" if math.isnan(scores[one, other]) else f"{scores[one, other]:.3f}",
        }
        for one, other in combinations(range(len(matrix.readers)), 2)
        for target, scores in matrix.by_target.items()
    ]


def _changes(version: Version) -> str:
    """What a version changed, the largest change first."""
    changed = sorted(((ml, name) for name, ml in version.changed_ml.items() if ml > 0), reverse=True)
    return ", ".join(f"{name} {millilitres(ml)} mL" for ml, name in changed[:4]) or "nothing that has a volume"
