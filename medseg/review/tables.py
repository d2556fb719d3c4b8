"""The tables of the review database.

What is written down once, an entry of the log, a version, a decision, is never changed: triggers refuse it. They stop
mistakes; whoever owns the database can remove them, and is found out by the log's seals.
"""

from __future__ import annotations

import secrets

from sqlalchemy import (
    Column,
    Connection,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Table,
    Text,
    func,
    insert,
    inspect,
    select,
)

from medseg.core.errors import InputError

FORM = 1
"""Number of this layout; it is in the database, and a newer one is refused."""
_TABLES_ARE_BEING_MADE = 0x6D656473
"""Key of PostgreSQL's advisory lock while they are."""
metadata = MetaData()

store = Table(
    "review_store",
    metadata,
    Column("form", Integer, primary_key=True, autoincrement=False),
    Column("genesis", Text, nullable=False),  # random: what the first entry of the log goes on from
)
audit = Table(
    "review_audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("made", Double, nullable=False),
    Column("who", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("case_name", Text),
    Column("details", Text, nullable=False),
    Column("row_digest", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("digest", Text, nullable=False),
)
cases = Table(
    "review_cases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("origin", Text, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("model_digest", Text, nullable=False),
    Column("made", Double),
    Column("flags", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("entry", Integer, ForeignKey(audit.c.number), nullable=False),
)
versions = Table(
    "review_versions",
    metadata,
    Column("case_name", Text, ForeignKey(cases.c.name), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("parent", Integer),
    Column("author", Text, nullable=False),
    Column("made", Double, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("volumes_ml", Text, nullable=False),
    Column("changed_ml", Text, nullable=False),
    Column("input_sha256", Text, nullable=False),
    Column("entry", Integer, ForeignKey(audit.c.number), nullable=False, unique=True),
)
decisions = Table(
    "review_decisions",
    metadata,
    Column("entry", Integer, ForeignKey(audit.c.number), primary_key=True, autoincrement=False),
    Column("case_name", Text, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("reader", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("made", Double, nullable=False),
    Column("difficulty", Text),
    Column("comment", Text, nullable=False),
    ForeignKeyConstraint(["case_name", "version"], [versions.c.case_name, versions.c.number]),
)
WRITTEN_ONCE = (audit, versions, decisions)


def _triggers(dialect: str) -> list[str]:
    """Statements after which rows can be put into the tables of ``WRITTEN_ONCE``, and nothing else."""
    words = "what the review database keeps is never changed"
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table.name}_no_{act.lower()} BEFORE {act} ON {table.name} "
            f"BEGIN SELECT RAISE(ABORT, '{words}'); END"
            for table in WRITTEN_ONCE
            for act in ("UPDATE", "DELETE")
        ]
    function = (
        "CREATE OR REPLACE FUNCTION review_refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$BEGIN RAISE EXCEPTION '{words}'; END$$"
    )
    return [
        function,
        *(
            f"CREATE TRIGGER {table.name}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table.name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION review_refuse_change()"
            for table in WRITTEN_ONCE
        ),
    ]


def prepare_tables(connection: Connection) -> None:
    """Make the tables where there are none, in the transaction of ``connection``.

    Raises:
        InputError: If there are some that this version of medseg cannot work with.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_TABLES_ARE_BEING_MADE)))
    if not has_tables(connection):
        metadata.create_all(connection)
        for statement in _triggers(connection.dialect.name):
            connection.exec_driver_sql(statement)
        connection.execute(insert(store).values(form=FORM, genesis=secrets.token_hex(32)))
    check_tables(connection)


def has_tables(connection: Connection) -> bool:
    """Whether this is a review database."""
    return inspect(connection).has_table(store.name)


def check_tables(connection: Connection) -> None:
    """Make sure that the tables are of this layout.

    Raises:
        InputError: If they are not.
    """
    form = connection.execute(select(func.max(store.c.form))).scalar_one()
    if not isinstance(form, int) or form < 1:
        raise InputError("the review database is damaged: it does not say its layout; put a backup in its place")
    if form > FORM:
        raise InputError(
            f"the review database has layout {form}, and this version of medseg knows those up to {FORM}; update medseg"
        )
