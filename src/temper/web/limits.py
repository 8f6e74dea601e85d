"""Every bound of the HTTP door, in one place, with what is answered at the bound."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the door. Lengths are in bytes, times in seconds."""

    url_max: int = 32 * 1024  # 414, and the connection ends
    headers_max: int = 32 * 1024  # 431, and the connection ends
    header_count_max: int = 100  # 431, and the connection ends
    head_timeout: float = 15.0  # for a request's head to arrive; then the connection ends
    body_max: int = 1024 * 1024  # of an action, a token, a rollback: 413
    bundle_max: int = 16 * 1024 * 1024  # of a push and a plan, which carry a bundle's files: 413
    body_timeout: float = 30.0  # for a body to arrive whole: 408
    dropped_max: int = 16 * 1024 * 1024  # of a body that is refused, so that its sender reads why; then it is cut off
    drop_timeout: float = 2.0  # for that to come
    key_max: int = 200  # of an `Idempotency-Key`, which is printable ASCII: 400
    expression_max: int = 4 * 1024  # of `filter` and `until`: 422
    page_max: int = 200  # items a page: 422
    history_max: int = 200  # entries of a history at once: 422
    shadow_max: int = 10_000  # requests that a candidate is asked again: 422
    wait_max: float = 60.0  # a longer `timeout` is cut to this one
    requests_max: int = 2048  # at once, streams and waits included: 503
    requests_each: int = 0  # of one principal at once: 429; 0 is no such bound
    streams_each: int = 0  # streams that one principal has open: 429; 0 is no such bound
    rate_max: int = 0  # of one principal in `rate_per`, and as many at once: 429; without it there is no such bound
    rate_per: float = 1.0  # in which they are counted
    rates_max: int = 4096  # principals that are counted at once; then who asked longest ago begins anew
    hook_rate_max: int = 100  # deliveries of webhooks from one address in `hook_rate_per`: 429; 0 is no such bound
    hook_rate_per: float = 1.0  # in which they are counted
    hook_timeout: float = 5.0  # for a delivery's body, which anybody may send, to arrive whole: 408
    hooks_max: int = 256  # deliveries at once: 503
    unread_max: float = 60.0  # for a client to read what is sent, or most of it; then the connection ends
    stream_max: float = 3600.0  # then a stream ends, and its reader goes on from its last event
    heartbeat: float = 15.0  # between two comments of a quiet stream; also how soon a revoked token ends it
    handing_max: float = 2.0  # while no server decides for an entity, its requests wait this long: then 503
    routes_max: int = 4096  # parsed paths that are kept; then they are parsed anew
    drain_timeout: float = 30.0  # for requests in flight to finish once the server is told to stop
