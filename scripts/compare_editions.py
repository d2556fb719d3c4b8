"""Shows what changed between two editions of the confidentiality tables: ``compare_editions.py OLD.json NEW.json``.

Both files have the form of ``medseg/deid/data/ps3_15_e1_1.json``. To look at before a new edition goes in: new rows (an
attribute may so far be kept by ``technical_text.txt``), and rows that keep more than they did.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Row = tuple[str, dict[str, str]]


def main(arguments: list[str] | None = None) -> int:
    """Print the differences; 1 if there are any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    chosen = parser.parse_args(arguments)
    lines = differences(_read(chosen.old), _read(chosen.new))
    print("\n".join(lines) or "no differences")
    return int(bool(lines))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for each row that was added, removed or changed, in both tables, and for each code of CID 7050."""
    return [
        _line(key, before.get(key), after.get(key))
        for before, after in zip(_tables(old), _tables(new), strict=True)
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _line(key: str, before: Row | None, after: Row | None) -> str:
    if before is None or after is None:
        name, actions = after or before or ("", {})
        return f"{'removed' if after is None else 'added'}  {key}  {name}: {_shown(actions)}"
    changes = [
        f"{what} {before[1].get(what, 'none')} -> {after[1].get(what, 'none')}"
        for what in sorted(before[1].keys() | after[1].keys())
        if before[1].get(what) != after[1].get(what)
    ]
    renamed = [] if before[0] == after[0] else [f"was {before[0]!r}"]
    return f"changed  {key}  {after[0]}: {', '.join(changes + renamed)}"


def _tables(content: Mapping[str, Any]) -> tuple[dict[str, Row], ...]:
    rules = {row["tag"]: (row["name"], _actions(row)) for row in content["rules"]}
    items = {
        f"{row['scheme']} {row['code']} {row['value_type']}": (row["meaning"], _actions(row))
        for row in content["content_items"]
    }
    codes = {f"CID 7050 {name}": (row["meaning"], {"code": row["code"]}) for name, row in content["cid_7050"].items()}
    return rules, items, codes


def _actions(row: Mapping[str, Any]) -> dict[str, str]:
    return {"basic": row["basic"], **row["options"]}


def _shown(actions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {action}" for name, action in actions.items())


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    raise SystemExit(main())
