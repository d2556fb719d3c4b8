"""What Streamlit runs for every page: who is there, which pages they may see, and the page itself."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from medseg_app import in_use
from medseg_app.ui.icon import icon
from medseg_app.ui.person import reader_or_sign_in
from medseg_app.ui.trouble import explained

from medseg.review.access import Deed, may
from medseg.review.records import Reader

# Not `pages`: Streamlit would run what lies there without this script, before it knows of any navigation.
_VIEWS = Path(__file__).parent / "views"


def _pages(reader: Reader) -> list[st.Page]:
    """The pages that ``reader`` may see, in the order of the work."""

    def page(name: str, title: str, icon: str) -> st.Page:
        return st.Page(_VIEWS / f"{name}.py", title=title, icon=f":material/{icon}:", url_path=name.replace("_", "-"))

    pages = [
        page("work_list", "Work list", "list_alt"),
        page("review", "Review", "visibility"),
        page("upload", "Upload", "upload"),
        page("export", "Results", "dataset"),
        page("help", "Help", "help"),
    ]
    if may(reader, Deed.SEE_AUDIT, in_use.desk().config):
        pages.insert(4, page("audit", "Audit", "history"))
    return pages


st.set_page_config(page_title="medseg review", page_icon=icon(), layout="wide", menu_items={})
st.html(Path(__file__).parent / "ui" / "style.css")
with explained():
    _reader = reader_or_sign_in()
    _chosen = st.navigation(_pages(_reader), position="top")
    _chosen.run()
