from __future__ import annotations

import json

from medseg.cli.console import ConsoleProgress, print_error, print_table

ROWS = [{"structure": "liver", "Dice": 0.87654321, "cases": 3}, {"structure": "[red]x", "Dice": None, "cases": 0}]


def test_a_table_is_for_people(capsys):
    print_table(ROWS, "scores")
    out = capsys.readouterr().out
    assert "0.8765" in out
    assert "[red]x" in out  # markup in names is text


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
