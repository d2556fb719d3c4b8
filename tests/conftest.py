"""Options and fixtures of all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("medseg", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("medseg")


# Workers of pytest-xdist share the cores; with as many threads as cores in each, their networks take four times as
# long. Set before torch is imported, and for the processes that tests start.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--real-data", type=Path, default=None, help="folder with the public research data sets")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--real-data") is None:
        skip = pytest.mark.skip(reason="needs --real-data DIR")
        for item in items:
            if "real_data" in item.keywords:
                item.add_marker(skip)


@pytest.fixture
def real_data(request: pytest.FixtureRequest) -> Path:
    """Folder of the public data sets; use it together with the marker real_data."""
    return Path(request.config.getoption("--real-data")).resolve()


@pytest.fixture(autouse=True)
def _same_main() -> Iterator[None]:
    """Streamlit puts a page in the place of ``__main__``, which processes that are spawned later would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session", autouse=True)
def _no_conversion_kept() -> Iterator[None]:
    """No test takes or leaves a network in the user's own folder, nor does what several tests share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medseg.inference.runtime_cache.cache_folder", lambda: None)
        yield
