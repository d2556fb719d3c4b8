"""Memory of the server: how much of it lies idle, and when it goes back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_M_ARENA_MAX, _ARENAS = -8, 2  # malloc.h of glibc


def use_few_pools() -> None:
    """Let threads share two pools of memory.

    Each run of a page is a thread. glibc gives threads pools of their own, up to eight a core, and what a run has freed
    stays in its pool: twenty readers would leave a hundred megabytes behind. Where there is no glibc nothing happens.
    """
    _ask("mallopt", _M_ARENA_MAX, _ARENAS)


def set_aside() -> None:
    """Keep what is loaded by now out of garbage collections.

    Streamlit makes one after each run of a page; to look through all modules takes ten times as long as the run.
    """
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Give what nobody uses any more back to the system, as after a session."""
    gc.collect()
    _ask("malloc_trim", 0)


def _ask(name: str, *values: int) -> None:
    """Call a function of the C library, if it is there."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        getattr(ctypes.CDLL(None), name)(*values)
