"""The command line as a shell would run it, in an empty folder."""

from __future__ import annotations

import logging
import signal
import sys

import pytest
from command_line import Done
from factories import bundle

from medseg.cli import main
from medseg.inference.bundle import BundleRecords, write_bundle


@pytest.fixture
def medseg(capsys, monkeypatch, tmp_path):
    """Runs the command line in an empty folder, as a shell would."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.chdir(tmp_path)

    def call(*arguments) -> Done:
        monkeypatch.setattr(sys, "argv", ["medseg", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main.run()
        captured = capsys.readouterr()
        return Done(int(stop.value.code or 0), captured.out, captured.err)

    yield call
    root.handlers[:], root.level = before
    for number, handler in signals.items():
        signal.signal(number, handler)
    logging.captureWarnings(capture=False)


@pytest.fixture
def model(tmp_path):
    write_bundle(tmp_path / "model", bundle(), BundleRecords({}, {}))
    return tmp_path / "model"
