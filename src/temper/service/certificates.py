"""Who has shown a client certificate, where the settings list whom.

TLS has found the certificate to be of an authority that the settings name, and in time, before anything of this is
asked; it goes on to be asked when the certificate ends, since a connection may last longer.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from temper.service.credentials import OF_SESSION
from temper.service.people import PRINCIPAL_MAX, ROLE, Person
from temper.service.settings import CertificatesSection, SettingProblem
from temper.text import suggest

CERTIFICATE: Final = "cert:"
"""What the principals begin with."""
_ALTERNATIVE: Final = {"uri": "URI", "dns": "DNS", "email": "email"}
_COMMON_NAME: Final = "common_name"
_NAMES: Final = (*_ALTERNATIVE, _COMMON_NAME)


class Ended(Exception):
    """The certificate is one of somebody's, and its time is over."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Those of whom the settings know; `name` says where in a certificate its name is."""

    name: str
    roles: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, section: CertificatesSection) -> Certificates:
        """Take sound settings."""
        roles = {
            name: frozenset((given,) if isinstance(given, str) else given) for name, given in section.principals.items()
        }
        return cls(section.name, roles)

    def person(self, certificate: Mapping[str, Any], at: int) -> Person | None:
        """Return whose certificate it is, `None` where it is nobody's who is listed.

        One with several names of that kind is nobody's: which of them counts would be a guess. Raises `Ended`.
        """
        names = _names(certificate, self.name)
        if len(names) != 1 or names[0] not in self.roles:
            return None
        ends = int(ssl.cert_time_to_seconds(certificate["notAfter"])) * 1000
        if at >= ends:
            raise Ended
        return Person(CERTIFICATE + names[0], self.roles[names[0]], expires_at=ends)


def _names(certificate: Mapping[str, Any], where: str) -> list[str]:
    if where == _COMMON_NAME:
        return [value for piece in certificate.get("subject", ()) for kind, value in piece if kind == "commonName"]
    kind = _ALTERNATIVE[where]
    return [value for each, value in certificate.get("subjectAltName", ()) if each == kind]


def problems(section: CertificatesSection) -> Iterator[SettingProblem]:
    """Yield what is wrong with the settings."""
    at = "identity.certificates"
    if section.name not in _NAMES:
        near = suggest(section.name, _NAMES)
        yield SettingProblem(
            f"{at}.name",
            f"there is no name `{section.name}` in a certificate",
            f"did you mean `{near}`?" if near else f"one of {', '.join(_NAMES)}",
        )
    if not section.principals:
        yield SettingProblem(f"{at}.principals", "is empty: nobody is let in", "name whom, with their roles")
    for name, given in section.principals.items():
        if not name or len(CERTIFICATE + name) > PRINCIPAL_MAX or not name.isprintable() or OF_SESSION in name:
            yield SettingProblem(f'{at}.principals."{name}"', "can't be a principal's name")
        for role in (given,) if isinstance(given, str) else given:
            if not ROLE.fullmatch(role):
                yield SettingProblem(
                    f'{at}.principals."{name}"', f"`{role}` is no role's name", "lower_snake, as in the blueprint"
                )
