"""Keys, and what is kept."""

from __future__ import annotations

from medseg_app.ui.help import show

show()
