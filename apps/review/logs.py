"""Logs of the server and its libraries without paths, values and tracebacks."""

from __future__ import annotations

import logging
from typing import Any

from medseg.core.messages import Redaction

_OTHERS = frozenset({"streamlit", "uvicorn", "starlette", "websockets", "asyncio", "authlib", "httpx"})
_MARK = "_medseg_redacts"


def redact() -> None:
    """Make every record of the server's libraries harmless where it is made: their handlers are their own business."""
    make = logging.getLogRecordFactory()
    if hasattr(make, _MARK):
        return

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if record.name.partition(".")[0] in _OTHERS:
            Redaction().filter(record)
        return record

    setattr(made, _MARK, True)
    logging.setLogRecordFactory(made)
