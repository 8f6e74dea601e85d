"""Identity providers and a proxy say who calls, where the settings name them.

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
```

A principal that an identity provider names begins with the provider's name here, and one that the proxy names with
`proxy:`; no token can be made for either, so that nobody can speak for another's people.
"""

from __future__ import annotations

from temper.service.settings import IdentitySection

PROXY = "proxy:"


def principals_of_others(section: IdentitySection) -> tuple[str, ...]:
    """Return what principals begin with that only identity providers and the proxy give: no token is made for one."""
    proxy = (PROXY,) if section.proxy is not None else ()
    return (*(f"{name}:" for name in section.oidc), *proxy)
