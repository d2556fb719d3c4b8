import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
import metric_pictures  # noqa: E402


@pytest.mark.parametrize("name", metric_pictures.PICTURES)
def test_the_picture_shows_what_the_scores_are_now(name):
    drawn = metric_pictures.PICTURES[name]()
    assert (DOCS / "images" / "metrics" / f"{name}.svg").read_text("utf-8") == drawn, "run docs/metric_pictures.py"


def test_every_page_has_its_picture():
    pages = {page.stem for page in (DOCS / "concepts" / "metrics").glob("*.md")} - {"index"}
    assert pages == set(metric_pictures.PICTURES)
