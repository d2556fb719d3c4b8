"""What a command left on the screen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Done:
    code: int
    out: str
    err: str


def fails(done: Done, *parts: str) -> None:
    """One sentence on stderr, exit code 2, nothing on stdout, no traceback."""
    assert done.code == 2, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.err
    for part in parts:
        assert part in lines[0]
