"""The server's memory: what is set aside, and what is given back."""

from __future__ import annotations

import gc

import pytest

pytest.importorskip("streamlit")

from medseg_app import memory


def test_what_is_loaded_is_looked_through_no_more():
    before = gc.get_freeze_count()
    try:
        memory.set_aside()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


class Library:
    """Stands for glibc, and keeps what it is asked."""

    def __init__(self):
        self.asked = []

    def mallopt(self, option, value):
        self.asked.append(("mallopt", option, value))

    def malloc_trim(self, kept):
        self.asked.append(("malloc_trim", kept))


@pytest.mark.parametrize(
    ("work", "asked"), [(memory.use_few_pools, ("mallopt", -8, 2)), (memory.give_back, ("malloc_trim", 0))]
)
def test_the_system_is_asked_where_it_can_be(work, asked, monkeypatch):
    library = Library()
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: library)
    work()
    assert library.asked == [asked]


@pytest.mark.parametrize("work", [memory.use_few_pools, memory.give_back])
def test_nothing_happens_without_glibc(work, monkeypatch):
    looked = []
    monkeypatch.setattr(memory.ctypes, "CDLL", looked.append)
    work()
    assert looked == [None]
