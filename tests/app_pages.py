"""The pages of the review app, run without a server or a browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from medseg_app import in_use
from streamlit.testing.v1 import AppTest

from medseg.core.volume import LabelMap
from medseg.review.desk import Desk
from medseg.review.records import CaseName
from medseg.review.sitting import Sitting

MAIN = Path(in_use.__file__).parent / "main.py"
_TIMEOUT_S = 60


@dataclass
class Pages:
    """A browser tab."""

    desk: Desk

    def open(self, page: str = "work_list", case: CaseName | None = None) -> AppTest:
        """A new tab at a page."""
        tab = AppTest.from_file(str(MAIN), default_timeout=_TIMEOUT_S).run()
        if case is not None:
            tab.query_params["case"] = case
        if page != "work_list":
            tab.switch_page(f"views/{page}.py")
        tab.run()
        return sound(tab)


def sound(tab: AppTest) -> AppTest:
    """The tab, which shows no traceback."""
    assert not tab.exception, [one.value for one in tab.exception]
    return tab


def press(tab: AppTest, label: str) -> AppTest:
    """Press the button of that name; the last one if there are several."""
    return sound([one for one in tab.button if unescaped(one.label) == label][-1].click().run())


def panel(tab: AppTest, name: str) -> AppTest:
    """Choose a panel beside the viewer."""
    (choice,) = [one for one in tab.segmented_control if one.key == "panel"]
    return sound(choice.set_value(name).run())


def texts(tab: AppTest) -> str:
    """All that is to be read, one element a line."""
    said = (tab.title, tab.subheader, tab.markdown, tab.caption, tab.text)
    kinds = (*said, tab.info, tab.error, tab.warning, tab.success)
    return "\n".join(str(one.value) for kind in kinds for one in kind)


def unescaped(text: str) -> str:
    """Text without the signs that keep Markdown from reading it."""
    return text.replace("\\", "")


def draw(desk: Desk, sitting: Sitting, value: int = 1, corner: int = 2) -> str:
    """Keep a draft, as the route for masks does; its digest."""
    grant, labels = sitting.shown.grants.mask, sitting.shown.segmentation.labels
    array = labels.array.copy()
    array[:corner, :corner, :corner] = value
    assert not np.array_equal(array, labels.array)
    return desk.drafts.put(grant.case, grant.reader, grant.base, LabelMap(array, labels.geometry))
