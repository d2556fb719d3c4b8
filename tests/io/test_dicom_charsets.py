"""Text in headers of all scripts, also where the character set changes within a value."""

from __future__ import annotations

import pytest
from dicom_bytes import element
from raw_dicom import file_of

from medseg.io.dicom_charsets import decoded
from medseg.io.dicom_header import read_header, text

CHARACTER_SET, NAME = 0x00080005, 0x00100010


@pytest.mark.parametrize(
    ("character_set", "stored", "name"),
    [
        (b"\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう".encode("iso2022_jp"), "山田^太郎=やまだ^たろう"),
        (b"ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\xcf\xc0\xde=\x1b$B;3ED\x1b(J^\xc0\xdb\xb3", "ﾔﾏﾀﾞ=山田^ﾀﾛｳ"),
        (b"\\ISO 2022 IR 149", b"Hong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=x", "Hong=洪^吉洞=x"),
        (b"\\ISO 2022 IR 58", b"Wang=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab", "Wang=王^小东"),
        (b"ISO 2022 IR 100\\ISO 2022 IR 126", b"M\xfcller=\x1b-F\xcf\xe4^\xfc", "Müller=Οδ^ü"),
        (b"ISO_IR 100", b"M\xfcller", "Müller"),
        (b"ISO_IR 192", "王^小東".encode(), "王^小東"),
        (b"GB18030", "王^小东".encode("gb18030"), "王^小东"),
    ],
    ids=["Japanese", "half-width", "Korean", "Chinese", "Greek", "Latin", "UTF-8", "GB18030"],
)
def test_names_in_all_scripts(tmp_path, character_set, stored, name):
    (tmp_path / "a").write_bytes(
        file_of((CHARACTER_SET, element(CHARACTER_SET, "CS", character_set)), (NAME, element(NAME, "PN", stored)))
    )
    assert text(read_header(tmp_path / "a", (NAME,)).dataset, NAME).endswith(name)


@pytest.mark.parametrize(
    "value", [b"a\x1b", b"a\x1b$", b"a\x1b$)C\xff", b"a\x1b$B\x80", b"a\x1bzz\xff", b"a\x1b$)A\xcd"]
)
def test_what_cannot_be_decoded_is_replaced_without_a_word(value):
    assert decoded(value, ("iso8859", "euc_kr", "iso2022_jp")).startswith("a")
