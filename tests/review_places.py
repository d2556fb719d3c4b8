"""Review folders with something in them, and ways to harm them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from medseg.config.review import Role
from medseg.core.pseudonyms import ProjectKey
from medseg.review.database import FILE
from medseg.review.records import (
    CaseName,
    CaseRecord,
    Decision,
    Difficulty,
    Flag,
    ModelStamp,
    Origin,
    Reader,
    Verdict,
    Version,
)
from medseg.review.rows import NewVersion
from medseg.review.store import Store, open_store, read_store

KEY = ProjectKey(bytes(range(32)))
OTHER_KEY = ProjectKey(bytes(range(1, 33)))
ANNA = Reader("anna@hospital.example", Role.READER)
BERT = Reader("bert@hospital.example", Role.SENIOR)
CASE = CaseName("case-0f3a")
MODEL = ModelStamp("organs", "1.2", "d1" * 32)


@dataclass(frozen=True)
class Place:
    """A review folder, and the URL of its database if that is not SQLite."""

    folder: Path
    url: str | None = None

    def open(self, key: ProjectKey = KEY) -> Store:
        return open_store(self.folder, key, self.url)

    def read(self, key: ProjectKey = KEY) -> Store:
        return read_store(self.folder, key, self.url)

    def attack(self, *statements: str) -> None:
        """What somebody does who owns the database: triggers and foreign keys do not stop them."""
        if self.url is None:
            with closing(sqlite3.connect(self.folder / FILE)) as connection, connection:
                triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
                for statement in (*(f"DROP TRIGGER {name}" for (name,) in triggers), *statements):
                    connection.execute(statement)
            return
        import psycopg

        with psycopg.connect(self.url.replace("+psycopg", "")) as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                connection.execute(statement)


def record(name: CaseName = CASE, **changes) -> CaseRecord:
    known = {"origin": Origin.FOLDER, "model": MODEL, "made": 1.5e9 + 0.1, "flags": (Flag("liver", "small"),)}
    return CaseRecord(name, **(known | changes))


def new_version(parent: int | None = None, sha256="ab" * 32, **changes) -> NewVersion:
    known = {"volumes_ml": {"liver": 1200.1}, "changed_ml": {"liver": 0.3}, "input_sha256": "cd" * 32}
    return NewVersion(CASE, parent, "organs" if parent is None else ANNA.name, sha256, **(known | changes))


def decision(version: int = 0, reader: Reader = ANNA, **changes) -> Decision:
    known = {"verdict": Verdict.ACCEPTED, "made": 1.6e9 + 0.7, "difficulty": Difficulty.HARD, "comment": "good"}
    return Decision(CASE, version, reader.name, **(known | changes))


def filled(store: Store) -> list[Version]:
    """A case with two versions and two decisions: five entries of the log."""
    store.add_case(record(), ANNA)
    made = [store.add_version(new_version(), ANNA), store.add_version(new_version(0), ANNA)]
    store.decide(decision(1), ANNA)
    store.decide(decision(0, BERT, verdict=Verdict.REJECTED, difficulty=None, comment=""), BERT)
    return made
