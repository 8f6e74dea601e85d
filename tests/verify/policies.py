"""Tables with policies, for tests of judgement."""

from __future__ import annotations

import msgspec

from temper.runtime import read_policies
from temper.table import Table
from temper.text import Source
from tests.verify.texts import table_of


def guarded(text: str, cedar: str) -> Table:
    """Return the table of a blueprint with the policies of a file, whatever Cedar's validator says of them."""
    read = read_policies([Source("test.cedar", cedar)], None)
    assert not read.problems, read.problems
    return msgspec.structs.replace(table_of(text), policies=read.policies)
