"""One browser tab's stay: what the server holds for it, let go when the tab is closed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import streamlit as st
from medseg_app import in_use
from medseg_app.cookies import holder_of

_KEY = "medseg visit"


@dataclass
class Visit:
    """A session of Streamlit.

    Attributes:
        number: Names it, for what the desk holds for it.
        holder: The browser, for its tickets: its own cookie.
        name: Who was greeted or refused.
    """

    number: str = field(default_factory=lambda: secrets.token_hex(16))
    holder: str = ""
    name: str = ""


def visit() -> Visit:
    """This session's stay, over losses of the connection too."""
    if _KEY not in st.session_state:
        st.session_state[_KEY] = Visit()
    found: Visit = st.session_state[_KEY]
    _present(found.number)
    found.holder = holder_of(dict(st.context.cookies)) or found.number
    return found


def _gone(number: str) -> None:
    """The connection was lost: perhaps for a moment, perhaps for good; the desk waits a while before it clears up."""
    if in_use.is_open():
        in_use.desk().visits.lost(number)


@st.cache_resource(scope="session", show_spinner=False, on_release=_gone)
def _present(number: str) -> str:
    in_use.desk().visits.here(number)
    return number
