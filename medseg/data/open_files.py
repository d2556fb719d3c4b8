"""Room for many open files: every memory-mapped array of a prepared case holds one."""

from __future__ import annotations

from pathlib import Path

from medseg.core.errors import InputError

_OTHERS = 512  # libraries, pipes to workers, event files


def allow_open_files(count: int) -> None:
    """Let this process, and those that it starts, open ``count`` more files than are open now, besides the usual ones.

    Raises:
        InputError: If the system allows fewer.
    """
    try:
        import resource  # noqa: PLC0415 - not on Windows, which has no such limit
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = sum(1 for _ in Path("/dev/fd").iterdir()) + count + _OTHERS
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (ValueError, OSError):
        raise InputError(
            f"so many cases need {needed} open files, and the system allows {hard}; raise it with `ulimit -Hn {needed}`"
        ) from None
