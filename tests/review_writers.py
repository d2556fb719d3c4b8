"""Processes that write into a review store and say what is kept, and may be killed at any moment."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np
from review_places import CASE, Place, new_version
from sqlalchemy import Insert, Table, insert

import medseg.review.ledger
import medseg.review.vault
from medseg.config.review import Role
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap
from medseg.review.records import Decision, Reader, Verdict
from medseg.review.vault import Vault

GRID = Geometry.from_spacing((24, 24, 24))


def die(*_arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_after_first_part(labels: LabelMap):
    """Half of the labels come to the disk."""
    yield memoryview(bytes(2**20))
    die()


def arm(moment: str) -> None:
    """Die at a certain moment of what comes next."""
    match moment:
        case "labels":
            medseg.review.vault.label_parts = die_after_first_part
        case "transaction":
            medseg.review.ledger.Pen.row = lambda pen, *_: (pen.connection.exec_driver_sql("SELECT 1"), die())
        case "half a transaction":
            medseg.review.ledger.insert = insert_and_die
        case "head":
            medseg.review.ledger.write_head = die


def insert_and_die(table: Table) -> Insert:
    """The entry is written, the row that goes with it is not."""
    if table.name != "review_audit":
        die()
    return insert(table)


def write(place: Place, name: str, count: int, moment: str, pipe: Connection) -> None:
    """Say when the store is open; once told to, make versions with decisions, and say the number of each when kept."""
    reader = Reader(name, Role.READER)
    rng = np.random.default_rng(os.getpid())
    vault = Vault(place.folder)
    with place.open() as store:
        pipe.send("ready")
        pipe.recv()
        for step in range(count):
            if step == 3:
                arm(moment)
            sha256 = vault.put(LabelMap(rng.integers(0, 3, GRID.shape).astype(np.uint8), GRID))
            number = store.add_version(new_version(0, sha256), reader).number
            store.decide(Decision(CASE, number, name, Verdict.ACCEPTED, time.time()), reader)
            pipe.send(number)


class Writer:
    """Such a process, which has opened the store and waits."""

    def __init__(self, place: Place, name: str, count: int, moment: str = "") -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload(["medseg.review.store", "medseg.review.vault"])  # what takes long to import
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=write, args=(place, name, count, moment, other))
        self.process.start()
        other.close()
        assert self.pipe.recv() == "ready"

    def go(self) -> None:
        self.pipe.send("go")

    def end(self) -> list[int]:
        """Numbers of the versions that it confirmed and nobody has read yet, once it has ended."""
        confirmed = []
        try:
            while True:
                confirmed.append(self.pipe.recv())
        except (EOFError, OSError):
            self.process.join()
            self.pipe.close()
        return confirmed
