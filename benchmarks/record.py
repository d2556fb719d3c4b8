"""Keeps the last table of each benchmark in docs/benchmarks.md, with machine, date and versions."""

from __future__ import annotations

import datetime as dt
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def table(rows: Sequence[dict[str, object]]) -> str:
    """Rows of equal keys as a Markdown table."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return "\n".join([*lines, *("| " + " | ".join(_shown(value) for value in row.values()) + " |" for row in rows)])


def record(name: str, text: str, packages: Sequence[str] = ("torch", "numpy")) -> None:
    """Print a result and put it between the markers ``<!-- name -->`` of the page, adding them at its end if needed."""
    stamp = f"{machine()}; {dt.datetime.now(dt.UTC):%Y-%m-%d}; " + ", ".join(f"{p} {version(p)}" for p in packages)
    block = f"<!-- {name} -->\n{text}\n\n*{stamp}*\n<!-- /{name} -->"
    page = PAGE.read_text(encoding="utf-8")
    found = re.compile(rf"<!-- {re.escape(name)} -->.*?<!-- /{re.escape(name)} -->", re.DOTALL)
    page = found.sub(lambda _: block, page) if found.search(page) else f"{page.rstrip()}\n\n{block}\n"
    PAGE.write_text(page, encoding="utf-8")
    print(f"{text}\n{stamp}")


def machine() -> str:
    """The processor and what it has."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    names = re.findall(r"model name\s*:\s*(.+)", _cpu_info())
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads"


def _cpu_info() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="ascii", errors="replace") if path.exists() else ""


def _shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
