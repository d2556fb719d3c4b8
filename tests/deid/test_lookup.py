from __future__ import annotations

import stat
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from medseg.core.errors import InputError
from medseg.deid.lookup import Broker, Original, open_lookup

ROW = Original("patient-1", "study-1", "series-1", -400, "north", "4711", "A1", "1.2", "1.2.3")


def write_keys(folder, private):
    folder.mkdir(exist_ok=True)
    (folder / "private.pem").write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(public)
    return folder


@pytest.fixture
def keys(tmp_path):
    return write_keys(tmp_path / "keys", X25519PrivateKey.generate())


@pytest.fixture
def table(tmp_path, keys):
    Broker(keys / "public.pem").seal([ROW], tmp_path / "table")
    return tmp_path / "table"


def test_the_broker_reads_what_was_sealed(table, keys):
    (row,) = open_lookup(table, keys / "private.pem")
    assert row == {
        "patient": "patient-1", "study": "study-1", "series": "series-1", "days": -400,
        "issuer": "north", "patient_id": "4711", "accession": "A1", "study_uid": "1.2", "series_uid": "1.2.3",
    }  # fmt: skip


def test_nothing_of_a_row_is_readable_and_only_the_owner_may_try(table):
    content = table.read_bytes()
    assert not any(value in content for value in (b"4711", b"north", b"1.2.3", b"patient-1"))
    assert stat.S_IMODE(table.stat().st_mode) == 0o600
    assert "4711" not in repr(ROW)


def test_each_table_has_a_key_of_its_own(table, tmp_path, keys):
    Broker(keys / "public.pem").seal([ROW], tmp_path / "again")
    assert (tmp_path / "again").read_bytes() != table.read_bytes()


def test_another_key_and_a_changed_table_are_refused(table, tmp_path, keys):
    other = write_keys(tmp_path / "other", X25519PrivateKey.generate())
    with pytest.raises(InputError, match="sealed to another key, or was changed"):
        open_lookup(table, other / "private.pem")
    content = table.read_bytes()
    table.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match="or was changed"):
        open_lookup(table, keys / "private.pem")
    table.write_bytes(b"name,id\n")
    with pytest.raises(InputError, match="no lookup table of medseg"):
        open_lookup(table, keys / "private.pem")
    table.write_bytes(content[:30] + b"\0" * 32 + content[62:])  # a public key that yields no secret
    with pytest.raises(InputError, match="or was changed"):
        open_lookup(table, keys / "private.pem")


def test_keys_that_are_none(table, tmp_path, keys):
    curve = write_keys(tmp_path / "curve", generate_private_key(SECP256R1()))
    with pytest.raises(InputError, match="no X25519 public key in PEM form; the broker makes one by: openssl"):
        Broker(curve / "public.pem")
    (tmp_path / "text.pem").write_text("no key")
    with pytest.raises(InputError, match="no X25519 public key"):
        Broker(tmp_path / "text.pem")
    with pytest.raises(InputError, match="holds a private key, which stays with the broker"):
        Broker(keys / "private.pem")
    with pytest.raises(InputError, match="no X25519 private key"):
        open_lookup(table, curve / "private.pem")
    with pytest.raises(InputError, match="no X25519 private key"):
        open_lookup(table, keys / "public.pem")
    with pytest.raises(InputError, match="'nowhere' does not exist"):
        Broker(tmp_path.relative_to(tmp_path) / "nowhere")
    with pytest.raises(InputError, match="'keys' cannot be read"):
        Broker(keys)
    (tmp_path / "film.pem").write_bytes(b"x" * 20_000)
    with pytest.raises(InputError, match="larger than any key file"):
        Broker(tmp_path / "film.pem")


def test_without_the_extra_nothing_is_written(keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(InputError, match=r"sealed or not at all; run `pip install 'medseg\[broker\]'`"):
        Broker(keys / "public.pem")


def test_the_commands_of_the_documentation_make_such_keys(tmp_path):
    private, public = tmp_path / "broker.pem", tmp_path / "public.pem"
    try:
        subprocess.run(["openssl", "genpkey", "-algorithm", "X25519", "-out", private], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl here")
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    Broker(public).seal([ROW], tmp_path / "table")
    assert open_lookup(tmp_path / "table", private)[0]["patient_id"] == "4711"
