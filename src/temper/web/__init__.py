"""The HTTP door: every verb of the workshop at a path that reads like the domain.

In:    a `Workshop`, and `Limits`.
Out:   `app` (ASGI) for any server, `serve` for ours: JSON, problem+json, server-sent events, OpenAPI 3.1.
Never: rules of a domain, and nothing but a bearer token says who calls.
"""

from temper.web.door import Door, app
from temper.web.limits import Limits
from temper.web.server import serve
from temper.web.tls import Tls

__all__ = ["Door", "Limits", "Tls", "app", "serve"]
