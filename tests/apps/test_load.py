"""Several readers at once: nobody is sent what is another's, nothing fails, and the server gives its memory back."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("streamlit")
pytest.importorskip("joserfc")
pytest.importorskip("websockets")

from medseg_viewer.build import is_current

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "review_app.py"
USERS = 4
BY_EVERYBODY = {"sign in", "upload", "open own", "open shared", "draw", "decide", "pry"}


def test_the_watch_sees_what_somebody_else_was_sent():
    spec = importlib.util.spec_from_file_location("review_ledger", SCRIPT.with_name("review_ledger.py"))
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ledger, mine, theirs = module.Ledger(), module.Marks.of(1), module.Marks.of(2)
    ledger.owners = dict.fromkeys(mine.all, 1) | dict.fromkeys(theirs.all, 2)
    ticket = b"/medseg/voxels/" + b"t" * 43
    for mark in (*mine.all, ticket):
        ledger.hear(1, b"\x0a\x1f" + mark + b"\x00")
    assert (ledger.leaks(), set(ledger.unheard())) == ([], {mark.decode() for mark in theirs.all})
    ledger.hear(1, theirs.stroke)
    ledger.hear(2, b"{" + ticket + b"}")
    assert len(ledger.leaks()) == 2


@pytest.mark.slow
@pytest.mark.skipif(not is_current(), reason="the viewer is not built: make viewer")
def test_readers_at_once_see_their_own_only_and_leave_nothing_behind():
    command = [sys.executable, SCRIPT, "users", "--no-record", f"--users={USERS}", "--seconds=20", "--patience=3"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{run.stderr}\n{run.stdout}"
    found = dict(re.findall(r"^\| (.+?) \| (.*) \|$", run.stdout, re.MULTILINE))
    done = {name.strip(): int(count) for name, count in re.findall(r"([a-z ]+) (\d+)", found["what was done"])}
    assert all(done.get(name, 0) >= USERS for name in BY_EVERYBODY)
    tries = found["tries to get another's voxels, slices and cases"]
    assert tries == "{0}, refused {0}".format(done["pry"])
    assert (found["sent to somebody else"], found["errors"]) == ("0", "0")
