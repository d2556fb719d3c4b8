"""One case: look, correct, decide."""

from __future__ import annotations

from medseg_app.ui.review import show

show()
