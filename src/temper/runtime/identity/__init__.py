"""Tokens of identity providers: JSON Web Tokens, held against the public keys of who issued them."""

from temper.runtime.identity.issuers import OIDC_ALGORITHMS, BadToken, Claims, Issuer, Issuers, oidc_installed
from temper.runtime.identity.keys import KeysAway, KeysWanted, is_safe_address

__all__ = [
    "OIDC_ALGORITHMS",
    "BadToken",
    "Claims",
    "Issuer",
    "Issuers",
    "KeysAway",
    "KeysWanted",
    "is_safe_address",
    "oidc_installed",
]
