"""The audit log: who did what, and whether it is whole."""

from __future__ import annotations

from medseg_app.ui.audit import show

show()
