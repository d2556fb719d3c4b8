import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from medseg.render import page

EVIL = "<script>alert('x')</script>\"&"


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img", "br", "circle", "line", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("circle", "line", "rect"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def test_every_text_is_escaped():
    picture = Image.fromarray(np.zeros((2, 3, 3), np.uint8))
    parts = [
        page.heading(EVIL), page.paragraph(EVIL), page.table((EVIL, "n"), [(EVIL, (EVIL, EVIL))]),
        page.photograph(picture, EVIL), page.folded(EVIL, [page.drawing("<svg></svg>", EVIL)], is_warning=True),
        page.alarm(EVIL),
    ]  # fmt: skip
    reader = read(page.page(EVIL, parts))
    assert "script" not in reader.tags
    assert reader.text.count(EVIL) == 12
    assert ("alt", EVIL) in reader.attributes


def test_a_page_needs_no_network():
    text = page.page("scores", [page.photograph(Image.new("RGB", (4, 4)), "")])
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|@import|url\(", text)


def test_a_picture_is_inside():
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3)).astype(np.uint8)
    text = page.photograph(Image.fromarray(pixels), "a case")
    data = base64.b64decode(re.search(r"base64,([^\"]+)", text)[1])
    assert (np.asarray(Image.open(io.BytesIO(data))) == pixels).all()


def test_numbers_and_words_are_told_apart():
    text = page.table(("a", "b", "c"), [("x", "y", ("1", "note"))], text_columns=2)
    assert text.count('<td class="text"') == text.count('<th class="text"') == 2
    assert '<span class="note">note</span>' in text
