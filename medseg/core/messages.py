"""Logs without secrets: no UID, no path, no value that a library quotes from a file."""

from __future__ import annotations

import logging
import os
import re
import sys

_OWN = "medseg"
_HANDLER = "medseg-redacted"
_UID = re.compile(r"\b\d+(?:\.\d+){3,}\b")
_QUOTED_PATH = re.compile(r"(['\"])(?:(?!\1)[^\n])*[/\\](?:(?!\1)[^\n])*\1")
_PATH = re.compile(
    r"(?<![\w/])(?:[A-Za-z]:[/\\]|\\\\|~/|\.{1,2}/|/)(?=\S)[^\n'\":]*|[^\s'\"]+[/\\][^\s'\"]*\.\w{1,6}\b"
)
_QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"")


def redacted(text: str, *, quotes: bool = False) -> str:
    """``text`` without UIDs, paths and control characters.

    A path without quotes counts as ending at a colon, a quote or the end of the line: its parts may hold spaces.

    Args:
        text: Any message.
        quotes: Take out everything in quotes too; a library quotes what it found in a file.
    """
    text = "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
    text = _QUOTED_PATH.sub("<path>", text)
    if quotes:
        text = _QUOTED.sub("<value>", text)
    return _UID.sub("<uid>", _PATH.sub("<path>", text))


class Redaction(logging.Filter):
    """Rewrites each record by ``redacted`` and lets it through; tracebacks of libraries are dropped."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite ``record`` in place; quotes stay only in what medseg itself wrote."""
        foreign = record.name.partition(".")[0] != _OWN
        record.msg, record.args = redacted(record.getMessage(), quotes=foreign), ()
        if foreign:
            record.exc_info = record.exc_text = None
        elif record.exc_info:
            record.exc_text = redacted(logging.Formatter().formatException(record.exc_info), quotes=True)
        return True


def route_logs(level: int = logging.WARNING) -> None:
    """Send the logs and the warnings of the whole process to stderr, redacted; pydicom's among them.

    A later call takes the place of an earlier one. For programs: a library leaves logging to its caller.
    """
    handler = logging.StreamHandler()
    handler.set_name(_HANDLER)
    handler.addFilter(Redaction())
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.name == _HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(capture=True)


def hush_mlflow() -> None:
    """Keep MLflow from phoning home, and its logs from passing by the redaction; call it before what may load it.

    MONAI loads MLflow wherever it is installed, whether or not anybody wants it.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # noqa: TID251 - MLflow listens to nothing else
    os.environ["MLFLOW_CONFIGURE_LOGGING"] = "false"  # noqa: TID251
    for name in ("mlflow", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)


def hush_openvino() -> None:
    """Keep OpenVINO and NNCF from phoning home; call it before either is loaded.

    Both send what they do through one small package, and do without where it is missing; so it is missing.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is "not there"
