"""Words, signs and colours of statuses and verdicts: never a colour alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from medseg.review.records import Difficulty, Verdict
from medseg.review.worklist import CaseStatus

Colour = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray"]


@dataclass(frozen=True)
class Look:
    """How a word is shown."""

    word: str
    icon: str
    colour: Colour


STATUS = {
    CaseStatus.NEW: Look("new", ":material/radio_button_unchecked:", "blue"),
    CaseStatus.IN_WORK: Look("in work", ":material/edit:", "violet"),
    CaseStatus.ACCEPTED: Look("accepted", ":material/check_circle:", "green"),
    CaseStatus.NEEDS_WORK: Look("needs work", ":material/build:", "orange"),
    CaseStatus.REJECTED: Look("rejected", ":material/cancel:", "red"),
    CaseStatus.DISPUTED: Look("readers differ", ":material/group:", "yellow"),
}
VERDICT = {
    Verdict.ACCEPTED: Look("accept", ":material/check_circle:", "green"),
    Verdict.NEEDS_WORK: Look("needs work", ":material/build:", "orange"),
    Verdict.REJECTED: Look("reject", ":material/cancel:", "red"),
}
DIFFICULTY = {Difficulty.EASY: "easy", Difficulty.MEDIUM: "medium", Difficulty.HARD: "hard"}


def status_badge(status: CaseStatus) -> None:
    """A status as a sign with its word."""
    look = STATUS[status]
    st.badge(look.word, icon=look.icon, color=look.colour)
