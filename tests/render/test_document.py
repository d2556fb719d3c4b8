import re

from medseg.render.document import Chapter, Grid, Items, Plots, Words, as_markdown, as_page

EVIL = "<script>alert('x')</script>|`*[a](javascript:b)"
CHAPTERS = [
    Chapter("", (Words("first\n\nsecond"), Words("beware", is_warning=True))),
    Chapter("Numbers", (
        Grid(("", "Dice"), (("liver", ("0.900", "0.880 to 0.920")), ("cyst", "0.5"))),
        Items(("one", "two")),
        Plots(("<svg>a</svg>", "<svg>b</svg>"), "below", is_small=True),
        Plots(("<svg>c</svg>",), "alone"),
    )),
]  # fmt: skip


def test_one_document_is_a_page_and_a_markdown_text():
    assert as_markdown("Model", CHAPTERS) == (
        "# Model\n\nfirst\n\nsecond\n\n**beware**\n\n## Numbers\n\n"
        "|  | Dice |\n| --- | ---: |\n| liver | 0.900 (0.880 to 0.920) |\n| cyst | 0.5 |\n\n- one\n- two\n"
    )
    text = as_page("Model", CHAPTERS)
    assert "<h1>Model</h1>" in text
    assert "<p>first</p>\n<p>second</p>" in text
    assert '<p class="alarm">beware</p>' in text
    assert "<ul><li>one</li><li>two</li></ul>" in text
    assert [text.index(one) for one in ("<svg>a", "<svg>b", "below", "<svg>c", "alone")] == sorted(
        text.index(one) for one in ("<svg>a", "<svg>b", "below", "<svg>c", "alone")
    )


def test_no_text_becomes_markup():
    parts = (Words(EVIL), Items((EVIL,)), Grid((EVIL,), ((EVIL,),)), Plots((), EVIL))
    chapters = [Chapter(EVIL, parts)]
    assert "<script" not in as_page(EVIL, chapters)
    plain = re.sub(r"\\.", "", as_markdown(EVIL, chapters))
    assert not set("<>`*[]") & set(plain)
    assert "\n| alert" not in plain


def test_texts_that_look_like_markdown_stay_texts():
    for text, line in (
        ("# no title", "\\# no title"), ("- no item", "\\- no item"), ("1. no item", "1\\. no item"), ("0.5", "0.5"),
        ("two\nlines", "two lines"), ("left_kidney", "left_kidney"),
    ):  # fmt: skip
        assert as_markdown("t", [Chapter("", (Words(text),))]) == f"# t\n\n{line}\n"
