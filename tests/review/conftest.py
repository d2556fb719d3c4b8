"""A review folder with SQLite and with PostgreSQL; tests that take ``place`` run with both."""

from __future__ import annotations

import pytest
from review_places import KEY, Place

from medseg.review.store import open_store
from medseg.review.vault import Vault


@pytest.fixture(scope="session")
def postgres():
    from postgres_server import running_postgres  # skips without psycopg

    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path) -> Place:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres").new_schema()
    return Place(tmp_path / "review", url)


@pytest.fixture
def store(tmp_path):
    """With SQLite only, for what no database changes."""
    with open_store(tmp_path, KEY) as opened:
        yield opened


@pytest.fixture
def vault(tmp_path) -> Vault:
    return Vault(tmp_path)
