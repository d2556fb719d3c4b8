"""What came of all reviews."""

from __future__ import annotations

from medseg_app.ui.export import show

show()
