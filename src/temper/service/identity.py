"""Identity providers, a proxy and client certificates say who calls, where the settings name them.

```toml
[identity.oidc.corp]
issuer = "https://login.example.com"
audience = "temper"
principal_claim = "email"         # ann@example.com is the principal `corp:ann@example.com`
roles_claim = "groups"
roles = { sre = "operator", "release-managers" = ["operator", "release_manager"] }
teams_claim = "teams"
attributes = ["site"]

[identity.proxy]
from = ["10.0.0.7/32"]
principal_header = "X-Forwarded-User"
roles_header = "X-Forwarded-Roles"

[server]
tls_cert = "server.pem"
tls_client_ca = "clients.pem"     # the authorities of the certificates that count

[identity.certificates]
name = "uri"
principals = { "spiffe://example.com/deployer" = "operator", "spiffe://example.com/reader" = [] }
```

A claim is named as it stands in the token, or with dots where it is within another, as `realm_access.roles`.
An address that its issuer says is not verified names nobody.

A principal that an identity provider names begins with the provider's name here, one that the proxy names with
`proxy:`, and one that a certificate names with `cert:`; no token can be made for any of them, so that nobody can speak
for another's people.

Identity providers need the extra `oidc`.
Their keys are fetched when the first of their tokens comes, again when one comes that another key has signed (at most
every ten seconds), and every five minutes while they are in use.
A bearer token counts before what a proxy says, and a proxy's word before a certificate: one of them says who calls, and
they are never added up. A proxy's headers from any other address than the proxy's name nobody.
A page in a browser of another origin acts by none but a token: what a browser sends by itself is not believed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from temper.runtime import (
    OIDC_ALGORITHMS,
    BadToken,
    Claims,
    Issuer,
    Issuers,
    KeysAway,
    KeysWanted,
    is_safe_address,
    oidc_installed,
)
from temper.service import certificates, wire
from temper.service.certificates import CERTIFICATE, Certificates
from temper.service.credentials import OF_SESSION
from temper.service.declined import Declined, unavailable, words
from temper.service.people import PRINCIPAL_MAX, ROLE, Peer, Person
from temper.service.settings import IdentitySection, OidcSection, ProxySection, SettingProblem, duration_ms

__all__ = ["Identity", "KeysWanted", "principals_of_others", "problems", "unauthenticated"]

PROXY: Final = "proxy:"
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
# Of groups, teams and roles that somebody has. Past it a token is refused: to leave some out could let somebody in whom
# a policy forbids.
LISTED_MAX: Final = 512
_LISTED_CHARACTERS: Final = 8_192
# Between two servers, whose clocks may be some way from each other.
_LENT_MS: Final = 60_000
_DIGITS_MAX: Final = 15
BY_CONNECTION: Final = (PROXY, CERTIFICATE)
"""What the principals begin with whom a connection names, and no token."""
LENT: Final = b"temper-identity"
"""The header in which one server tells another whom a connection has named."""


def principals_of_others(section: IdentitySection) -> tuple[str, ...]:
    """Return what principals begin with that only identity providers and the proxy give: no token is made for one."""
    proxy = (PROXY,) if section.proxy is not None else ()
    shown = (CERTIFICATE,) if section.certificates is not None else ()
    return (*(f"{name}:" for name in section.oidc), *proxy, *shown)


class Identity:
    """Says who bears the token of an identity provider, whom a proxy speaks for, and whose a certificate is."""

    def __init__(self, section: IdentitySection) -> None:
        """Take sound settings."""
        self._oidc = section.oidc
        self._issuers = Issuers([_issuer(name, each) for name, each in section.oidc.items()]) if section.oidc else None
        self._proxy = _Proxy.of(section.proxy) if section.proxy is not None else None
        shown = section.certificates
        self._certificates = Certificates.of(shown) if shown is not None else None
        self.reserved = principals_of_others(section)

    @property
    def shows_certificates(self) -> bool:
        """Whether a client's certificate can say who calls."""
        return self._certificates is not None

    @property
    def headers(self) -> frozenset[bytes]:
        """The headers that the proxy says who it is by, in small letters."""
        return self._proxy.headers if self._proxy is not None else frozenset()

    def of_token(self, token: str, at: int) -> Person | None:
        """Return who bears a provider's token; `None` where none is named.

        Declines a token that is not good. Raises `KeysWanted` where keys have to be fetched first.
        """
        if self._issuers is None:
            return None
        try:
            found = self._issuers.read(token, at=at)
            return _person(found, self._oidc[found.name])
        except BadToken as bad:
            raise unauthenticated(str(bad)) from None
        except KeysAway as away:
            raise unavailable(str(away)) from None

    def of_peer(self, peer: Peer, headers: Mapping[bytes, bytes], at: int) -> Person | None:
        """Return whom the proxy says that it speaks for, or else whose the certificate is; `None` where it is nobody's.

        Declines what a proxy can't mean, and a certificate that has ended.
        """
        found = self._proxy.person(peer.address, headers) if self._proxy is not None else None
        if found is None and self._certificates is not None and peer.certificate:
            try:
                return self._certificates.person(peer.certificate, at)
            except certificates.Ended:
                raise unauthenticated("the client's certificate has expired") from None
        return found

    async def close(self) -> None:
        """Give up what is under way."""
        if self._issuers is not None:
            await self._issuers.close()


def unauthenticated(detail: str = "") -> Declined:
    """Return what is said to whoever is not known."""
    return Declined(
        wire.Problem(
            type="unauthenticated",
            title="who calls is not known" if detail else "there is no token",
            status=401,
            detail=detail,
            help="send `Authorization: Bearer <token>`; an administrator makes one with `temper token make`",
        )
    )


# --- identity providers -----------------------------------------------------------------------------------------------


def _issuer(name: str, section: OidcSection) -> Issuer:
    return Issuer(
        name=name,
        issuer=section.issuer,
        audience=frozenset([section.audience] if isinstance(section.audience, str) else section.audience),
        jwks=section.jwks,
        algorithms=frozenset(section.algorithms),
        skew_ms=duration_ms(section.skew),
        kept_s=duration_ms(section.keys_kept) / 1000,
    )


def _person(found: Claims, section: OidcSection) -> Person:
    claims = found.claims
    groups = _listed(claims, section.roles_claim)
    roles = {role for group in groups for role in _roles(section.roles.get(group, ()))}
    texts = {name: _attribute(_claim(claims, name)) for name in section.attributes}
    return Person(
        _principal(f"{found.name}:", _subject(claims, section.principal_claim)),
        frozenset(roles),
        not groups.isdisjoint(section.admins),
        teams=_listed(claims, section.teams_claim),
        attributes={name: text for name, text in texts.items() if text is not None},
        expires_at=found.expires_at,
    )


def _roles(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    if name in claims:
        return claims[name]
    found: Any = claims
    for piece in name.split("."):
        found = found.get(piece) if isinstance(found, dict) else None
    return found


def _subject(claims: Mapping[str, Any], name: str) -> str:
    if name == "email" and claims.get("email_verified") in (False, "false"):
        raise BadToken("the address in it is not verified")
    found = _claim(claims, name)
    if not isinstance(found, str):
        raise BadToken(f"its `{name}` names nobody")
    return found


def _principal(prefix: str, name: str) -> str:
    principal = prefix + name
    if not name or len(principal) > PRINCIPAL_MAX or not name.isprintable() or OF_SESSION in name:
        raise BadToken("the name in it can't be a principal's")
    return principal


def _listed(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    found = _claim(claims, name) if name else None
    listed = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
    if len(listed) > LISTED_MAX or sum(len(each) for each in listed if isinstance(each, str)) > _LISTED_CHARACTERS:
        raise BadToken(f"its `{name}` lists more than is read here")
    return frozenset(each for each in listed if isinstance(each, str) and each.isprintable() and each)


def _attribute(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value) if isinstance(value, str | int) else None
    return text if text is not None and len(text) <= PRINCIPAL_MAX and text.isprintable() else None


# --- a proxy ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Proxy:
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    principal: bytes
    roles: bytes
    teams: bytes

    @classmethod
    def of(cls, section: ProxySection) -> _Proxy:
        return cls(
            tuple(ipaddress.ip_network(each) for each in section.peers),
            section.principal_header.lower().encode(),
            section.roles_header.lower().encode(),
            section.teams_header.lower().encode(),
        )

    @property
    def headers(self) -> frozenset[bytes]:
        return frozenset({self.principal, self.roles, self.teams} - {b""})

    def person(self, peer: str | None, headers: Mapping[bytes, bytes]) -> Person | None:
        said = headers.get(self.principal)
        if said is None or not self._is(peer):
            return None
        try:
            principal = _principal(PROXY, said.decode("utf-8"))
            roles = [each for each in _commas(headers.get(self.roles, b"")) if ROLE.fullmatch(each)]
            return Person(principal, frozenset(roles), teams=frozenset(_commas(headers.get(self.teams, b""))))
        except (BadToken, UnicodeDecodeError):
            raise unauthenticated("what the proxy says can't be a principal") from None

    def _is(self, peer: str | None) -> bool:
        try:
            address = ipaddress.ip_address(peer or "")
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.networks)


def _commas(text: bytes) -> list[str]:
    pieces = [piece.strip() for piece in text.decode("utf-8").split(",")]
    if len(pieces) > LISTED_MAX:
        raise BadToken("it lists more than is read here")
    return [piece for piece in pieces if piece and piece.isprintable()]


# --- what one server hands on to another ------------------------------------------------------------------------------


def lent(person: Person, key: bytes, at: int) -> bytes:
    """Return what tells another server whom a connection to this one has named; it is good for a minute."""
    said = [person.principal, sorted(person.roles), sorted(person.teams), at]
    text = base64.urlsafe_b64encode(msgspec.json.encode(said))
    return text + b"." + hmac.new(key, text, hashlib.sha256).hexdigest().encode()


def of_lent(said: bytes, key: bytes, at: int) -> Person | None:
    """Return whom a connection to another server has named, `None` where none of ours has said so, or long ago."""
    text, _, mac = said.partition(b".")
    made = hmac.new(key, text, hashlib.sha256).hexdigest().encode()
    if not hmac.compare_digest(made, mac):
        return None
    principal, roles, teams, when = msgspec.json.decode(
        base64.urlsafe_b64decode(text), type=tuple[str, list[str], list[str], int]
    )
    if abs(at - when) > _LENT_MS:
        return None
    return Person(principal, frozenset(roles), teams=frozenset(teams))


def handed_on(key: bytes, at: int) -> bytes:
    """Return what tells another server that one of its cluster hands a request on; it is good for a minute."""
    return b"%d." % at + _proof(key, at)


def was_handed_on(said: bytes, key: bytes, at: int) -> bool:
    """Say whether a server of the cluster has handed a request on, lately; whoever calls may claim that, too."""
    when, _, mac = said.partition(b".")
    if not when.isdigit() or len(when) > _DIGITS_MAX:
        return False
    return hmac.compare_digest(_proof(key, int(when)), mac) and abs(at - int(when)) <= _LENT_MS


def _proof(key: bytes, at: int) -> bytes:
    return hmac.new(key, b"handed on at %d" % at, hashlib.sha256).hexdigest().encode()


# --- settings ---------------------------------------------------------------------------------------------------------


def problems(section: IdentitySection) -> Iterator[SettingProblem]:
    """Yield what is wrong with the settings."""
    try:
        if not duration_ms(section.session_max):
            yield SettingProblem("identity.session_max", "is not above 0")
    except ValueError as error:
        yield SettingProblem("identity.session_max", str(error))
    issuers: dict[str, str] = {}
    for name, each in section.oidc.items():
        at = f"identity.oidc.{name}"
        if not oidc_installed():
            yield SettingProblem(at, "needs an extra", "install `temper-blueprint[oidc]`")
        if not _NAME.fullmatch(name) or f"{name}:" in (PROXY, CERTIFICATE):
            yield SettingProblem(at, f"`{name}` is no provider's name", "lower case, and not `proxy` or `cert`")
        if each.issuer in issuers:
            yield SettingProblem(
                f"{at}.issuer", f"is that of `{issuers[each.issuer]}` too", "name all audiences in one of them"
            )
        issuers.setdefault(each.issuer, name)
        yield from _oidc_problems(at, each)
    if section.proxy is not None:
        yield from _proxy_problems(section.proxy)
    if section.certificates is not None:
        yield from certificates.problems(section.certificates)


def _oidc_problems(at: str, section: OidcSection) -> Iterator[SettingProblem]:
    for key, url in (("issuer", section.issuer), ("jwks", section.jwks)):
        if (url or key == "issuer") and not is_safe_address(url):
            yield SettingProblem(f"{at}.{key}", f"`{url}` is no `https` address", "`http` is for this machine alone")
    audience = [section.audience] if isinstance(section.audience, str) else section.audience
    if not audience or not all(audience):
        yield SettingProblem(f"{at}.audience", "is empty", "whom its tokens are for, as the provider knows this server")
    wrong = [each for each in section.algorithms if each not in OIDC_ALGORITHMS]
    if wrong or not section.algorithms:
        yield SettingProblem(
            f"{at}.algorithms", f"{words(wrong) or 'none'} can't be taken", f"some of {words(OIDC_ALGORITHMS)}"
        )
    if not section.principal_claim:
        yield SettingProblem(f"{at}.principal_claim", "is empty", "such as `sub`")
    if (section.roles or section.admins) and not section.roles_claim:
        yield SettingProblem(f"{at}.roles_claim", "is missing: nothing says who is in a group", "such as `groups`")
    for group, given in section.roles.items():
        for role in _roles(given):
            if not ROLE.fullmatch(role):
                yield SettingProblem(
                    f'{at}.roles."{group}"', f"`{role}` is no role's name", "lower_snake, as in the blueprint"
                )
    for key, text in (("skew", section.skew), ("keys_kept", section.keys_kept)):
        try:
            duration_ms(text)
        except ValueError as error:
            yield SettingProblem(f"{at}.{key}", str(error))


def _proxy_problems(section: ProxySection) -> Iterator[SettingProblem]:
    at = "identity.proxy"
    if not section.peers:
        yield SettingProblem(f"{at}.from", "is empty: no address is the proxy's", "such as `10.0.0.7/32`")
    for network in section.peers:
        try:
            if ipaddress.ip_network(network).prefixlen == 0:
                yield SettingProblem(f"{at}.from", f"`{network}` is everybody", "name the proxy's own address")
        except ValueError:
            yield SettingProblem(f"{at}.from", f"`{network}` is no network", "such as `10.0.0.7/32`")
    named = [section.principal_header, section.roles_header, section.teams_header]
    for key, header in zip(("principal_header", "roles_header", "teams_header"), named, strict=True):
        if (header or key == "principal_header") and (
            not _HEADER.fullmatch(header) or header.lower() in ("authorization", "connection", "content-length", "host")
        ):
            yield SettingProblem(f"{at}.{key}", f"`{header}` is no header of a proxy's", "such as `X-Forwarded-User`")
    lowered = [header.lower() for header in named if header]
    if len(set(lowered)) < len(lowered):
        yield SettingProblem(at, "one header can't say two things")
