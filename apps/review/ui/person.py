"""Who sits in front of the screen."""

from __future__ import annotations

import streamlit as st
from medseg_app import in_use

from medseg.config.review import Role
from medseg.review.access import reader_of
from medseg.review.records import LOCAL_READER, Act, Reader

from .visit import visit

_ROLES = {Role.READER: "reader", Role.SENIOR: "senior reader", Role.ADMIN: "admin"}


def reader_or_sign_in() -> Reader:
    """Who is there; if nobody is, or nobody who may come in, the page says so and ends."""
    config = in_use.desk().config
    visit()  # a session of somebody who does not come in has to end too
    if config.login is not None and not st.user.is_logged_in:
        _sign_in_page()
        st.stop()
    claims = st.user.to_dict() if config.login is not None else None
    reader = reader_of(claims, config)
    if reader is None:
        _refusal_page(str((claims or {}).get("email") or ""))
        st.stop()
    return _greeted(reader)


def who(reader: Reader) -> str:
    """A person in words, for the corner of a page."""
    return reader.name if reader.name == LOCAL_READER else f"{reader.name}, {_ROLES[reader.role]}"


def _greeted(reader: Reader) -> Reader:
    """``reader``, once in the log for each session."""
    stay = visit()
    if stay.name != reader.name:
        in_use.desk().store.log(Act.SIGNED_IN, reader)
        stay.name = reader.name
    return reader


def _sign_in_page() -> None:
    _, middle, _ = st.columns((1, 2, 1))
    with middle:
        st.title("medseg review", anchor=False)
        st.write("Sign in with your organisation's account to see the work list.")
        st.button("Sign in", type="primary", icon=":material/login:", on_click=st.login)


def _refusal_page(address: str) -> None:
    stay = visit()
    if stay.name != f"refused {address}":
        _note_refusal(address)
        stay.name = f"refused {address}"
    _, middle, _ = st.columns((1, 2, 1))
    with middle:
        st.title("medseg review", anchor=False)
        if address:
            st.text(f"{address} is not among the people who may review here.")
        else:
            st.text("Your account came without an e-mail address.")
        st.write("Whoever runs this service can add you. Nothing was shown, and this visit is in the log.")
        st.button("Sign out", icon=":material/logout:", on_click=st.logout)


def _note_refusal(address: str) -> None:
    """Write a refused visit into the log, under no more than what the log takes as a name."""
    name = "".join(letter for letter in address if letter.isprintable())[:200] or "somebody without an address"
    in_use.desk().store.log(Act.REFUSED, Reader(name, Role.READER), details={"what": "sign in"})
