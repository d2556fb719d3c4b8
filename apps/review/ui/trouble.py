"""What a reader is told when something does not work."""

from __future__ import annotations

import contextlib
import logging
import secrets
import traceback
from collections.abc import Iterator
from pathlib import Path

import streamlit as st

from medseg.core.errors import MedsegError

from .plain import sentence

_LOG = logging.getLogger("medseg.app")


def tell(error: Exception) -> bool:
    """Show one sentence about ``error``: our own, or a neutral one with a number that the log knows too.

    Returns:
        True: there is nothing more to show.
    """
    if isinstance(error, MedsegError):
        st.error(sentence(str(error)), icon=":material/error:")
        return True
    number = secrets.token_hex(4)
    # Its text may say anything of a patient; where it happened does not.
    frames = traceback.extract_tb(error.__traceback__)
    where = " > ".join(f"{Path(one.filename).name}:{one.lineno}" for one in frames)
    _LOG.error("fault %s: %s at %s", number, type(error).__name__, where)
    st.error(
        f"Something went wrong here, and nothing of what was saved is lost. Fault {number} is in the server's log.",
        icon=":material/error:",
    )
    return True


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """A block whose errors are told to the reader; what stands after it goes on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the app's last resort
        tell(error)
