"""One browser tab's stay: what the server holds for it, let go when the tab is closed."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import streamlit as st
from medseg_app import in_use, memory
from medseg_app.cookies import holder_of
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

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


def _gone(stay: tuple[str, str]) -> None:
    """The connection was lost: perhaps for a moment, perhaps for good; the desk waits a while before it clears up."""
    number, session = stay
    if in_use.is_open():
        in_use.desk().visits.lost(number, _ender(session), partial(_is_active, session))


@st.cache_resource(scope="session", show_spinner=False, on_release=_gone)
def _present(number: str) -> tuple[str, str]:
    in_use.desk().visits.here(number)
    run = get_script_run_ctx()
    return number, run.session_id if run else ""


def _is_active(session: str) -> bool:
    """Whether a session has a connection, also if its page did not run since it came back."""
    return runtime.exists() and runtime.get_instance().is_active_session(session)


def _ender(session: str) -> Callable[[], object] | None:
    """What makes Streamlit forget a session; by itself it waits for another one to come or go (streamlit#12506)."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None  # the server has stopped

    def end() -> None:
        if runtime.exists() and not _is_active(session):
            runtime.get_instance().close_session(session)
        loop.run_in_executor(None, memory.give_back)

    def end_soon() -> None:
        with contextlib.suppress(RuntimeError):  # the server has stopped meanwhile
            loop.call_soon_threadsafe(end)

    return end_soon
