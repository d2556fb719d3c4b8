from __future__ import annotations

import io
import json

from rich.console import Console

from medseg.cli import console
from medseg.cli.console import ConsoleProgress, print_error, print_line, print_table

HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"

ROWS = [{"structure": "liver", "Dice": 0.87654321, "cases": 3}, {"structure": "[red]x", "Dice": None, "cases": 0}]


def test_a_table_is_for_people(capsys):
    print_table(ROWS, "scores")
    out = capsys.readouterr().out
    assert "0.8765" in out
    assert "[red]x" in out  # markup in names is text


def test_a_title_stays_on_one_line_above_a_narrower_table(capsys):
    title = "validation, on the images' own grids [mm], " + "however long " * 8
    print_table(ROWS, title)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.strip() == title.strip()
    assert second.split() == ["structure", "Dice", "cases"]


def test_json_is_for_programs(capsys):
    print_table(ROWS, as_json=True)
    assert json.loads(capsys.readouterr().out) == ROWS


def test_an_empty_table_prints_nothing_but_json_is_a_list(capsys):
    print_table([])
    assert capsys.readouterr().out == ""
    print_table([], as_json=True)
    assert json.loads(capsys.readouterr().out) == []


def test_errors_and_progress_stay_off_stdout(capsys):
    print_error("no [bold]luck[/bold]")
    progress = ConsoleProgress()
    progress.start("reading", 3)
    progress.advance()
    progress.note("case [7] skipped")
    progress.finish()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "error: no [bold]luck[/bold]" in captured.err
    assert "reading" in captured.err
    assert "case [7] skipped" in captured.err


def test_a_terminal_gets_its_cursor_back_whatever_happens(monkeypatch):
    text, leaving = io.StringIO(), []
    monkeypatch.setattr(console, "ERRORS", Console(file=text, force_terminal=True))
    monkeypatch.setattr(console.atexit, "register", leaving.append)
    progress = ConsoleProgress()
    progress.start("reading", 3)
    assert HIDDEN in text.getvalue()
    leaving[0]()
    assert text.getvalue().rfind(SHOWN) > text.getvalue().rfind(HIDDEN)


def test_a_line_below_a_table_stays_out_of_json(capsys):
    print_line("the model lies in RUN", as_json=True)
    print_line("wrote x.yaml")
    captured = capsys.readouterr()
    assert captured.out == "wrote x.yaml\n"
    assert "RUN" in captured.err
