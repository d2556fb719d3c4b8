"""Preparing cases in a process of its own; a module of its own, so that spawned processes can import it."""

from __future__ import annotations

import time

import numpy as np
from dataset_factories import SCHEME
from factories import run_config

from medseg.data.cache import PreparedCases

CONFIG = run_config(channels=[{"name": "CT"}])


def prepare(folder, cases):
    return PreparedCases(folder, CONFIG, SCHEME).prepare(cases)


def prepare_slowly(folder, cases):
    """Take so long for each file that a process can be killed, or meet another, in the middle of a case."""
    save = np.save

    def slow_save(path, array):
        time.sleep(0.1)
        save(path, array)

    np.save = slow_save
    try:
        prepare(folder, cases)
    finally:
        np.save = save
