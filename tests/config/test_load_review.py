from __future__ import annotations

from pathlib import Path

import pytest

from medseg.config.load import load_review_config
from medseg.config.review import BatchSource, FolderSource, ReviewConfig, Role
from medseg.core.errors import ConfigError

TEXT = """
folder: reviews
key: /etc/medseg/project.key
database: postgresql+psycopg://medseg@host/reviews
sources:
  - {kind: batch, output: ../batch, studies: studies}
  - {kind: folder, images: images, predictions: /data/predictions, others: {second reader: second}}
models: [bundles/organs]
login: {readers: {"*@hospital.example": reader, chief@hospital.example: admin}}
"""


def test_paths_are_relative_to_the_file(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "app.yaml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    config = load_review_config(Path("etc/app.yaml"))
    here = tmp_path / "etc"
    assert config.folder == here / "reviews"
    assert str(config.key) == "/etc/medseg/project.key"
    assert config.database == "postgresql+psycopg://medseg@host/reviews"
    assert config.models == (here / "bundles" / "organs",)
    batch, folder = config.sources
    assert isinstance(batch, BatchSource)
    assert (batch.output, batch.studies, batch.reference) == (here / "../batch", here / "studies", None)
    assert isinstance(folder, FolderSource)
    assert (folder.images, str(folder.predictions)) == (here / "images", "/data/predictions")
    assert folder.others == {"second reader": here / "second"}
    assert config.login is not None
    assert config.login.readers["chief@hospital.example"] is Role.ADMIN


def test_an_empty_section_is_the_default(tmp_path):
    (tmp_path / "app.yaml").write_text("{}")
    assert load_review_config(tmp_path / "app.yaml") == ReviewConfig(folder=tmp_path / "review")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "app.yaml: holds no configuration; write for example `folder: review`"),
        ("folder: [", "app.yaml: not valid YAML"),
        ("sources: [{kind: cloud}]", "app.yaml: sources.0: .*'batch', 'folder'"),
        ("limits: {upload_mb: 0}", "app.yaml: limits.upload_mb: .* greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, text, message):
    (tmp_path / "app.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_review_config(tmp_path / "app.yaml")


def test_a_file_that_is_missing_is_told(tmp_path):
    with pytest.raises(ConfigError, match="configuration .*app.yaml' cannot be read"):
        load_review_config(tmp_path / "app.yaml")


def test_a_profile_is_a_name_or_a_file_beside_the_configuration(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "own.yaml").write_text("name: own\n")
    monkeypatch.chdir(tmp_path)
    for profile, expected in (("research", "research"), ("own.yaml", str(tmp_path / "etc" / "own.yaml"))):
        (tmp_path / "etc" / "app.yaml").write_text(f"profile: {profile}")
        assert load_review_config(Path("etc/app.yaml")).profile == expected


@pytest.mark.parametrize(
    ("profile", "message"),
    [("basik", "no profile '.*basik'; there are basic, "), ("odd.yaml", "odd.yaml: holds no profile")],
)
def test_a_profile_that_cannot_be_used_is_told_at_once(tmp_path, profile, message):
    (tmp_path / "odd.yaml").write_text("")
    (tmp_path / "app.yaml").write_text(f"profile: {profile}")
    with pytest.raises(ConfigError, match=message):
        load_review_config(tmp_path / "app.yaml")
