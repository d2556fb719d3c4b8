"""The audit log on a page."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Mapping

import streamlit as st
from medseg_app import in_use

from medseg.review.access import Deed, require
from medseg.review.audit import AuditEntry, Detail
from medseg.review.records import Act

from .person import reader_or_sign_in
from .plain import count, moment, sentence

_MOST, _FEW = 500, 15
_DIGEST = re.compile(r"[0-9a-f]{64}")


def show() -> None:
    """The newest entries, filters, and a check of the whole log."""
    desk = in_use.desk()
    require(reader_or_sign_in(), Deed.SEE_AUDIT, desk.config)
    st.title("Audit log", anchor=False)
    st.caption(
        "Who did what to which case, under pseudonyms. Every entry carries a seal over itself and the one before; "
        "a change anywhere breaks it."
    )
    _check()
    acts, people = st.columns(2)
    chosen = acts.multiselect("What was done", [act.value for act in Act], placeholder="Everything")
    person = people.text_input("By whom, or to which case", placeholder="Part of a name")
    entries = newest(desk.store.entries(), set(chosen), person)
    if not entries:
        st.info("No entry of the log is like this.")
        return
    st.caption(f"{count(len(entries), 'entry', 'entries')}, the newest first; at most {_MOST} are shown.")
    st.dataframe(
        [row_of(entry) for entry in entries],
        hide_index=True,
        height=600 if len(entries) > _FEW else "auto",
        column_config={"Details": st.column_config.TextColumn(width="large")},
        alt="Entries of the audit log",
    )


def newest(entries: Iterable[AuditEntry], acts: set[str], person: str) -> list[AuditEntry]:
    """The last entries that fit the filters, the newest first."""
    wanted = person.strip().casefold()
    fitting = (
        one
        for one in entries
        if (not acts or one.act in acts) and (wanted in one.who.casefold() or wanted in (one.case or "").casefold())
    )
    return list(deque(fitting, _MOST))[::-1]


def row_of(entry: AuditEntry) -> dict[str, object]:
    """An entry as a row of the table."""
    details = sorted((len(str(value)), name, value) for name, value in json.loads(entry.details).items())
    return {
        "No.": entry.number,
        "When": moment(entry.made),
        "Who": entry.who,
        "As": entry.role,
        "What": entry.act,
        "Case": entry.case or "",
        "Details": ", ".join(f"{name}: {_short(value)}" for _, name, value in details),
        "Seal": entry.digest[:12],
    }


def _short(value: Detail) -> str:
    """A detail in few letters: of a digest the beginning, of a number what can be read."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    if isinstance(value, float):
        return f"{value:.2f}"
    return value[:12] if isinstance(value, str) and _DIGEST.fullmatch(value) else str(value)


def _check() -> None:
    if not st.button("Check the whole log", icon=":material/verified:", shortcut="V"):
        return
    with st.spinner("Checking every entry against its seal …"):
        found = in_use.desk().store.verify()
    if found.ok:
        st.success(f"All {found.entries:,} entries are as they were written.", icon=":material/verified:")
    else:
        st.error(sentence(f"the log is not as it was written: {found.reason}"), icon=":material/gpp_bad:")
