"""What Schemathesis is told beyond the document (test_fuzz.py): what a good `Idempotency-Key` is."""

from __future__ import annotations

from itertools import count
from typing import Any

import schemathesis

_NUMBERS = count(1)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Send each good request under a key of its own. The same key for another request is refused, as it should be."""
    good = case.meta is not None and case.meta.generation.mode.is_positive
    if good and case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"request-{next(_NUMBERS)}"
