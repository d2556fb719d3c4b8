from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import medseg

PUBLIC = sorted(medseg._HOMES)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_documented(name):
    thing = getattr(medseg, name)
    assert thing.__doc__


def test_type_checkers_and_python_see_the_same_names():
    imports = [
        node for node in ast.walk(ast.parse(Path(medseg.__file__).read_text()))
        if isinstance(node, ast.ImportFrom) and node.level == 1
    ]  # fmt: skip
    seen = {alias.asname: node.module for node in imports for alias in node.names}
    assert seen == medseg._HOMES


def test_unknown_names_are_unknown():
    with pytest.raises(AttributeError, match="no attribute 'segment'"):
        _ = medseg.segment


def test_importing_medseg_or_asking_for_help_loads_nothing_heavy():
    heavy = {"torch", "monai", "scipy", "pydicom", "nibabel"}
    code = f"import sys, medseg, medseg.cli.main; print(sorted({heavy} & sys.modules.keys()))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "[]"
