"""Who comes in, and what each may do and see."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Mapping, Sequence
from enum import StrEnum

from medseg.config.review import LoginSection, ReviewConfig, Role
from medseg.core.errors import InputError

from .records import LOCAL_READER, CaseRecord, Reader, Version

_RANKS = {role: rank for rank, role in enumerate(Role)}
_ANYBODY = "*@"
_LONGEST_ADDRESS = 254
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Deed(StrEnum):
    """What not everybody may do."""

    REVIEW = "review cases"
    EXPORT = "export cases"
    INFER = "run models"
    RELEASE_TEXT = "release burned-in text"
    SEE_ALL_VERSIONS = "see the versions of other readers"
    SEE_AUDIT = "read the audit log"
    SEE_IDENTIFIERS = "see identifiers"


_NEEDED = {
    Deed.REVIEW: Role.READER,
    Deed.EXPORT: Role.SENIOR,
    Deed.INFER: Role.SENIOR,
    Deed.RELEASE_TEXT: Role.SENIOR,
    Deed.SEE_ALL_VERSIONS: Role.SENIOR,
    Deed.SEE_AUDIT: Role.ADMIN,
    Deed.SEE_IDENTIFIERS: Role.ADMIN,
}


def reader_of(claims: Mapping[str, object] | None, config: ReviewConfig) -> Reader | None:
    """Who somebody is, by what the OpenID provider says of them; None for whom the configuration does not let in.

    Without a login section everybody is the local reader, an admin. An address that the provider says it has not
    verified lets nobody in. A reader's name is the address in lower case, so that it is the same at each login.

    Args:
        claims: ``email`` and, if the provider tells, ``email_verified``; None for somebody who has not signed in.
        config: Says who may come in.
    """
    if config.login is None:
        return Reader(LOCAL_READER, Role.ADMIN)
    email = (claims or {}).get("email")
    if not isinstance(email, str) or (claims or {}).get("email_verified", True) not in (True, "true"):
        return None
    role = role_of(email, config.login)
    return None if role is None else Reader(_same_case(email), role)


def role_of(email: str, login: LoginSection) -> Role | None:
    """Role of whoever has that address; None for whom nothing was said.

    Capitals of ASCII do not count, other letters are compared as they are: some of them look like ASCII once they are
    in lower case. An address counts more than ``*@`` with its domain, which stands for no other domain, not for one
    below it either. If one address is given several roles in different capitals, the lowest counts.
    """
    address = _same_case(email)
    if not _is_address(address):
        return None
    roles: dict[str, list[Role]] = {}
    for pattern, role in login.readers.items():
        roles.setdefault(_same_case(pattern.strip()), []).append(role)
    named = [] if address.startswith(_ANYBODY) else roles.get(address, [])
    of_domain = roles.get(_ANYBODY + address.partition("@")[2], [])
    return min(named or of_domain, key=_RANKS.__getitem__, default=None)


def may(reader: Reader, deed: Deed, config: ReviewConfig) -> bool:
    """Whether a reader may do that; identifiers are shown only where the configuration allows it, too."""
    if deed is Deed.SEE_IDENTIFIERS and not config.show_identifiers:
        return False
    return allows(reader.role, deed)


def allows(role: Role, deed: Deed) -> bool:
    """Whether a role is enough for a deed, whatever the configuration says."""
    return _RANKS[role] >= _RANKS[_NEEDED[deed]]


def require(reader: Reader, deed: Deed, config: ReviewConfig) -> None:
    """Refuse a deed that is not the reader's.

    Raises:
        InputError: If they may not do it.
    """
    if may(reader, deed, config):
        return
    if allows(reader.role, deed):
        raise InputError(f"nobody may {deed} here; `show_identifiers: true` in the configuration allows it to admins")
    raise InputError(f"a {reader.role} may not {deed}; ask a {_NEEDED[deed]}")


def may_see(reader: Reader, record: CaseRecord) -> bool:
    """Whether a case is shown to a reader: what somebody uploaded is theirs alone, whatever the role of others."""
    return not record.owner or record.owner == reader.name


def versions_for(reader: Reader, versions: Sequence[Version]) -> list[Version]:
    """The versions that a reader may look at: the prediction and their own, or all for those who see all."""
    if allows(reader.role, Deed.SEE_ALL_VERSIONS):
        return list(versions)
    return [version for version in versions if version.number == 0 or version.author == reader.name]


def _same_case(text: str) -> str:
    return text.translate(_LOWER)


def _is_address(text: str) -> bool:
    """Whether it has the form of one address, without what could hide another: spaces, quotes, control characters."""
    name, _, domain = text.partition("@")
    odd = any(letter in '"\\,;<>()' or unicodedata.category(letter)[0] in "CZ" for letter in text)
    return bool(name and domain) and "@" not in domain and not odd and len(text) <= _LONGEST_ADDRESS
