"""Who comes in, and who may what."""

from __future__ import annotations

import pytest
from case_factories import ADMIN, ANN, SENIOR, a_record, a_version
from hypothesis import given
from hypothesis import strategies as st

from medseg.config.review import LoginSection, ReviewConfig, Role
from medseg.core.errors import InputError
from medseg.review.access import Deed, allows, may, may_see, reader_of, require, role_of, versions_for
from medseg.review.records import LOCAL_READER, Reader

LOGIN = LoginSection(
    readers={"*@clinic.example": Role.READER, "Sue@Clinic.example": Role.SENIOR, "amy@other.example": Role.ADMIN}
)
CONFIG = ReviewConfig(login=LOGIN)


@pytest.mark.parametrize(
    ("email", "role"),
    [
        ("bob@clinic.example", Role.READER),
        ("BOB@CLINIC.EXAMPLE", Role.READER),
        ("sue@clinic.example", Role.SENIOR),
        ("SUE@clinic.EXAMPLE", Role.SENIOR),
        ("amy@other.example", Role.ADMIN),
        ("bob@other.example", None),
        ("bob@ward.clinic.example", None),
        ("bob@clinic.example.evil.example", None),
        ("clinic.example", None),
        ("@clinic.example", None),
        ("", None),
    ],
)
def test_an_address_counts_more_than_its_domain_and_nobody_else_comes_in(email, role):
    assert role_of(email, LOGIN) is role


@pytest.mark.parametrize(
    "email",
    [
        "bob@evil.example@clinic.example",
        '"bob@evil.example"@clinic.example',
        "bob@evil.example,sue@clinic.example",
        "bob @clinic.example",
        "bob@clinic.example\n",
        "bob@clinic.example\0",
        "bob\u202e@clinic.example",
        "bob@clinic\u200b.example",
        "<bob@clinic.example>",
        f"{'b' * 300}@clinic.example",
    ],
)
def test_what_is_no_plain_address_lets_nobody_in(email):
    assert role_of(email, LOGIN) is None


def test_letters_that_only_look_like_ascii_in_lower_case_are_others():
    login = LoginSection(readers={"kim@clinic.example": Role.ADMIN})
    assert "\u212aim".lower() == "kim"
    assert role_of("\u212aim@clinic.example", login) is None
    assert role_of("KIM@clinic.example", login) is Role.ADMIN


def test_a_pattern_is_no_address_and_other_patterns_stand_for_nobody():
    everybody = LoginSection(
        readers={"*": Role.ADMIN, "*@*": Role.ADMIN, "bob@*": Role.ADMIN, "*@a.example": Role.READER}
    )
    assert role_of("*@a.example", everybody) is Role.READER
    assert role_of("bob@b.example", everybody) is None


def test_of_several_roles_for_one_address_the_lowest_counts():
    login = LoginSection(readers={"Bob@a.example": Role.ADMIN, "bob@a.example": Role.SENIOR})
    assert role_of("bob@a.example", login) is Role.SENIOR


@given(st.text(max_size=40))
def test_no_text_lets_anybody_in_who_is_not_named(text):
    role = role_of(text, LOGIN)
    assert role is None or text.lower().endswith(("@clinic.example", "amy@other.example"))


@given(st.lists(st.booleans(), min_size=18, max_size=18))
def test_capitals_do_not_count(capitals):
    address = "sue@clinic.example"
    mixed = "".join(letter.upper() if up else letter for letter, up in zip(address, capitals, strict=True))
    assert role_of(mixed, LOGIN) is Role.SENIOR
    assert reader_of({"email": mixed}, CONFIG) == Reader(address, Role.SENIOR)


def test_without_login_everybody_is_the_local_admin():
    local = Reader(LOCAL_READER, Role.ADMIN)
    assert reader_of(None, ReviewConfig()) == reader_of({"email": "x@y.example"}, ReviewConfig()) == local
    assert role_of(LOCAL_READER, LOGIN) is None


@pytest.mark.parametrize(
    "claims",
    [
        None,
        {},
        {"email": None},
        {"email": ["bob@clinic.example"]},
        {"email": "bob@other.example"},
        {"email": "bob@clinic.example", "email_verified": False},
        {"email": "bob@clinic.example", "email_verified": "false"},
        {"email": "bob@clinic.example", "email_verified": None},
    ],
)
def test_with_login_nobody_comes_in_without_a_verified_address(claims):
    assert reader_of(claims, CONFIG) is None


@pytest.mark.parametrize("verified", [True, "true"])
def test_a_verified_address_lets_its_reader_in(verified):
    claims = {"email": "bob@clinic.example", "email_verified": verified, "name": "Bob"}
    assert reader_of(claims, CONFIG) == Reader("bob@clinic.example", Role.READER)


def test_each_role_may_what_those_before_it_may():
    for deed in Deed:
        allowed = [allows(role, deed) for role in Role]
        assert allowed == sorted(allowed)
        assert allowed[-1]
    assert {deed for deed in Deed if allows(Role.READER, deed)} == {Deed.REVIEW}
    assert {deed for deed in Deed if not allows(Role.SENIOR, deed)} == {Deed.SEE_AUDIT, Deed.SEE_IDENTIFIERS}


def test_identifiers_need_a_role_and_the_configuration():
    shown = ReviewConfig(show_identifiers=True)
    assert [may(one, Deed.SEE_IDENTIFIERS, shown) for one in (ANN, SENIOR, ADMIN)] == [False, False, True]
    assert not may(ADMIN, Deed.SEE_IDENTIFIERS, ReviewConfig())


def test_who_may_not_is_told_whom_to_ask():
    require(SENIOR, Deed.EXPORT, ReviewConfig())
    with pytest.raises(InputError, match="a reader may not export cases; ask a senior"):
        require(ANN, Deed.EXPORT, ReviewConfig())
    with pytest.raises(InputError, match="`show_identifiers: true` in the configuration allows it to admins"):
        require(ADMIN, Deed.SEE_IDENTIFIERS, ReviewConfig())


def test_an_upload_is_its_owners_alone():
    upload = a_record(owner=ANN.name)
    assert [may_see(one, upload) for one in (ANN, SENIOR, ADMIN)] == [True, False, False]
    assert all(may_see(one, a_record()) for one in (ANN, SENIOR, ADMIN))


def test_readers_see_the_prediction_and_their_own_versions():
    versions = [a_version(0), a_version(1, author=ANN.name), a_version(2, author="bob@clinic.example")]
    assert [one.number for one in versions_for(ANN, versions)] == [0, 1]
    assert versions_for(SENIOR, versions) == versions
