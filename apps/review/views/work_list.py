"""What there is to review."""

from __future__ import annotations

from medseg_app.ui.work_list import show

show()
