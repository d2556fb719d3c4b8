"""``medseg app`` up to where the server takes over, and once with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from case_factories import folder_source
from command_line import fails

pytest.importorskip("streamlit")

from medseg_app import app as server

from medseg.batch.manifest import FILE
from medseg.cli import app as command
from medseg.config.review import BatchSource, FolderSource
from medseg.core.errors import InputError

MEDSEG = [sys.executable, "-c", "from medseg.cli.main import run; run()"]


class Served:
    """Stands in for the server, and tells what it was to serve."""

    def __init__(self, monkeypatch):
        self.configs, self.servings = [], []
        monkeypatch.setattr(server, "serve", self.serve)

    def serve(self, desk, serving, when_ready):
        self.configs.append(desk.config)
        self.servings.append(serving)
        when_ready("http://127.0.0.1:1")


@pytest.fixture
def served(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("medseg_viewer.assets._FOLDER", tmp_path / "assets")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "viewer-1.js").write_text("")
    return Served(monkeypatch)


@pytest.fixture
def config(tmp_path):
    source = folder_source(tmp_path / "data")
    tree = {"key": "project.key", "sources": [source.model_dump(mode="json", exclude_defaults=True)]}
    (tmp_path / "review.yaml").write_text(yaml.safe_dump(tree))
    return tmp_path / "review.yaml"


def test_the_configuration_of_this_folder_is_taken_if_none_is_named(medseg, served, config):
    done = medseg("app", "--no-browser", "--port", "0")
    assert done.code == 0, done.err
    assert "the app is at http://127.0.0.1:1" in done.out
    (chosen,), (serving,) = served.configs, served.servings
    assert chosen.folder == config.with_name("review")
    assert (serving.port, serving.host, serving.opens_browser) == (0, "127.0.0.1", False)
    assert serving.secrets == Path("secrets.toml")


def test_secrets_lie_beside_the_configuration(medseg, served, config):
    other = config.rename(config.parent / "data" / "other.yaml")
    assert medseg("app", other).code == 0
    assert served.servings[0].secrets == other.with_name("secrets.toml")
    assert served.servings[0].opens_browser


def test_a_folder_of_images_is_shown_as_it_is(medseg, served, tmp_path):
    source = folder_source(tmp_path / "data")
    assert medseg("app", "data/images", "--predictions", "data/predictions").code == 0
    (found,) = served.configs[0].sources
    assert isinstance(found, FolderSource)
    assert (found.images.resolve(), found.predictions.resolve()) == (source.images, source.predictions)
    assert served.configs[0].folder == Path("review")


def test_the_output_of_a_batch_needs_its_studies(medseg, served, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / FILE).write_bytes(b"")
    fails(medseg("app", "out"), "name its studies too, by --studies FOLDER")
    assert medseg("app", "out", "--studies", "in").code == 0
    (tmp_path / "predicted").mkdir()
    fails(medseg("app", "predicted", "--studies", "in"), "'predicted' is no output of `medseg batch`")
    assert served.configs[0].sources == (BatchSource(kind="batch", output=Path("out"), studies=Path("in")),)


def test_the_demo_is_made_if_there_is_nothing_else(medseg, served, monkeypatch, tmp_path):
    made = []

    def demo(output, progress):
        made.append(output)
        for name in ("predictions", "run/bundle"):
            (tmp_path / output / name).mkdir(parents=True)
        (tmp_path / output / "test.csv").write_text("case,image.CT\n")

    monkeypatch.setattr("medseg.pipelines.demo.demo", demo)
    key = tmp_path / "demo" / "project.key"
    key.parent.mkdir()
    key.write_text("00" * 32)
    key.chmod(0o600)
    done = medseg("app")
    assert done.code == 0, done.err
    assert "in about three minutes" in done.out
    assert made == [Path("demo")]
    assert medseg("app").code == 0
    assert medseg("app", "demo").code == 0
    assert len(made) == 1
    assert {one.folder for one in served.configs} == {Path("demo/review")}


def test_what_is_not_there_is_one_sentence(medseg, served):
    fails(medseg("app", "nowhere"), "'nowhere' does not exist")


def test_without_streamlit_the_extra_is_named(medseg, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in ("streamlit", "medseg_app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "streamlit", None)
    fails(medseg("app"), "streamlit", 'pip install "medseg[app]"')


def test_without_the_viewer_its_build_is_named(medseg, monkeypatch, tmp_path, config):
    monkeypatch.setattr("medseg_viewer.assets._FOLDER", tmp_path)
    fails(medseg("app"), "the viewer is not built")


def test_a_port_that_is_taken_is_one_sentence(medseg, monkeypatch, tmp_path, config):
    monkeypatch.setattr("medseg_viewer.assets._FOLDER", tmp_path / "assets")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "viewer-1.js").write_text("")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        fails(medseg("app", "--port", taken.getsockname()[1]), "name another --port")


def test_an_unfinished_demo_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo" / "predictions").mkdir(parents=True)
    with pytest.raises(InputError, match="medseg demo -o FOLDER"):
        command._demo()


def test_the_app_answers_and_ends_on_ctrl_c(config, tmp_path):
    pytest.importorskip("medseg_viewer").asset_folder()
    with subprocess.Popen(
        [*MEDSEG, "app", "--no-browser", "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(tmp_path)},
    ) as process:
        said = process.stdout.readline()
        if not said and "the viewer is not built" in (problem := process.stderr.read()):
            pytest.skip(problem)
        url = said.split()[4].rstrip(";")
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - of this machine
            assert answer.status == 200
            assert "medseg_browser=" in answer.headers["Set-Cookie"]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130)
        assert "Traceback" not in process.stderr.read()
    assert list((tmp_path / "review" / "sessions").glob("session-*")) == []
