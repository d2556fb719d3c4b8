"""Converted networks on disk."""

from __future__ import annotations

import os
import time

import pytest
from factories import full_disk

from medseg.inference import runtime_cache
from medseg.inference.runtime_cache import Conversion, cache_folder, is_kept, recalled


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime_cache, "cache_folder", lambda: tmp_path / "cache" / "networks")
    return tmp_path / "cache" / "networks"


class Text:
    """A conversion into a text, which counts how often it was made and read."""

    def __init__(self, key="a", text="network"):
        self.made, self.read, self.text = 0, 0, text
        self.conversion = Conversion(key, self.make, self.save, self.load)

    def make(self):
        self.made += 1
        return self.text

    def save(self, text, path):
        (path / "model.txt").write_text(text)

    def load(self, path):
        self.read += 1
        return (path / "model.txt").read_text()

    def recall(self):
        assert recalled(self.conversion) == self.text
        return self.made, self.read


def test_a_network_is_converted_once(folder):
    text = Text()
    assert not is_kept("a")
    assert text.recall() == (1, 0)
    assert is_kept("a")
    assert text.recall() == (1, 1)
    assert Text("b").recall() == (1, 0)
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["a", "b"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "model.txt").write_text("netw"),
        lambda entry: (entry / "model.txt").unlink(),
        lambda entry: (entry / "digests.json").write_text("{"),
        lambda entry: (entry / "digests.json").write_text("{}"),
        lambda entry: (entry / "digests.json").unlink(),
    ],
)
def test_a_damaged_copy_is_made_anew(folder, damage):
    text = Text()
    text.recall()
    damage(folder / "a")
    assert text.recall() == (2, 0)
    assert text.recall() == (2, 1)


def test_a_copy_that_cannot_be_read_is_made_anew(folder):
    text = Text()
    text.recall()
    calls = []

    def load(path):
        calls.append(path)
        raise RuntimeError("unknown operation")

    assert recalled(Conversion("a", text.make, text.save, load)) == "network"
    assert text.made == 2
    assert len(calls) == 1


def test_what_was_used_longest_ago_makes_room(folder, monkeypatch):
    for number, key in enumerate("abc"):
        Text(key).recall()
        os.utime(folder / key, (number, number))
    size = sum(path.stat().st_size for path in (folder / "a").iterdir())
    monkeypatch.setattr(runtime_cache, "MOST_BYTES", 2 * size)
    Text("a").recall()  # it is used again, so the others are older
    Text("d").recall()
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"a", "d"}
    monkeypatch.setattr(runtime_cache, "MOST_BYTES", 1)
    Text("e").recall()
    assert is_kept("e")  # the newest stays, however large
    assert not is_kept("a")


def test_what_a_killed_process_left_is_removed_after_a_day(folder):
    for name, age_s in (("old", 2 * 24 * 3600), ("new", 60)):
        (folder / f".partial-{name}").mkdir(parents=True)
        then = time.time() - age_s
        os.utime(folder / f".partial-{name}", (then, then))
    Text().recall()
    assert not (folder / ".partial-old").exists()
    assert (folder / ".partial-new").exists()


def test_without_a_folder_it_is_converted_each_time(monkeypatch, tmp_path):
    text = Text()
    monkeypatch.setattr(runtime_cache, "cache_folder", lambda: None)
    assert text.recall() == (1, 0)
    assert not is_kept("a")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(runtime_cache, "cache_folder", lambda: tmp_path / "file" / "networks")
    assert text.recall() == (2, 0)


def test_a_full_disk_hinders_nothing(folder):
    text = Text(text="n" * 10_000)
    folder.mkdir(parents=True)
    with full_disk(1000):
        assert text.recall() == (1, 0)
    assert not is_kept("a")


def test_the_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "medseg" / "networks"
