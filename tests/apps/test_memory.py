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


@pytest.mark.parametrize("work", [memory.use_few_pools, memory.give_back])
def test_the_system_is_asked_where_it_can_be(work, monkeypatch):
    work()
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    work()
