"""Images that a reader brings."""

from __future__ import annotations

from medseg_app.ui.upload import show

show()
