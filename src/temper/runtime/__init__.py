"""The outside: one file for each port.

In:    a store's path, tools' settings, requests, the wall clock.
Out:   `SqliteStore`, `Live` (a space alive under asyncio), `found`; adapters for tools; the clock and ids; watched
       files; tokens; Cedar's word on who may; `FaultyFiles`, a file system that fails, for whoever tries the store;
       whole spaces: audited, exported and planted.
Never: decides what happens to an entity (the kernel does), judges a table, reads a blueprint's text.
"""

from temper.kernel import StoreFault
from temper.runtime.archiving import archive as archive_space
from temper.runtime.cedar import (
    Administers,
    Administration,
    Could,
    Gate,
    Policies,
    Ruling,
    Somebody,
    could_act,
    could_approve,
    could_read,
    generated,
    read_administration,
    read_policies,
    schema_text,
    whole_text,
)
from temper.runtime.cedar import schema as cedar_schema
from temper.runtime.clock import Alarm, Clock, SystemClock, new_id
from temper.runtime.cluster import Cluster, Joined
from temper.runtime.cluster_feed import place_of, place_text
from temper.runtime.cluster_member import Elsewhere, Member
from temper.runtime.faulty import FaultyFiles, Trouble, Written
from temper.runtime.files import watch
from temper.runtime.guarded import guard_memory
from temper.runtime.history import (
    Anchor,
    Audited,
    Difference,
    Exported,
    Head,
    PostgresStill,
    SqliteStill,
    Still,
    exported,
    plant_file,
    plant_postgres,
    space_of,
)
from temper.runtime.history import audit as audit_space
from temper.runtime.identity import (
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
from temper.runtime.live import Live, Working, found
from temper.runtime.postgres import PostgresStore, PostgresTokens, Registry
from temper.runtime.ranks import RANKED_FROM, Rank, Span, rank_place, ranked_value
from temper.runtime.secrets import InFile, Output, Variable
from temper.runtime.sqlite import SqliteStore
from temper.runtime.tokens import More, ParentGone, TokenRow, TokenStore, is_token
from temper.runtime.tools import (
    Adapter,
    Answered,
    Attempt,
    Call,
    Declared,
    Failed,
    Problem,
    Unknown,
    extract,
    load_tools,
    parse_path,
)
from temper.runtime.vault import Vault
from temper.runtime.wasm import (
    Flaw,
    Grant,
    Grants,
    Modules,
    NotPacked,
    digest_of,
    flaw_of,
    imports_of,
    load_grants,
    pack,
    unpack,
)

__all__ = [
    "OIDC_ALGORITHMS",
    "RANKED_FROM",
    "Adapter",
    "Administers",
    "Administration",
    "Alarm",
    "Anchor",
    "Answered",
    "Attempt",
    "Audited",
    "BadToken",
    "Call",
    "Claims",
    "Clock",
    "Cluster",
    "Could",
    "Declared",
    "Difference",
    "Elsewhere",
    "Exported",
    "Failed",
    "FaultyFiles",
    "Flaw",
    "Gate",
    "Grant",
    "Grants",
    "Head",
    "InFile",
    "Issuer",
    "Issuers",
    "Joined",
    "KeysAway",
    "KeysWanted",
    "Live",
    "Member",
    "Modules",
    "More",
    "NotPacked",
    "Output",
    "ParentGone",
    "Policies",
    "PostgresStill",
    "PostgresStore",
    "PostgresTokens",
    "Problem",
    "Rank",
    "Registry",
    "Ruling",
    "Somebody",
    "Span",
    "SqliteStill",
    "SqliteStore",
    "Still",
    "StoreFault",
    "SystemClock",
    "TokenRow",
    "TokenStore",
    "Trouble",
    "Unknown",
    "Variable",
    "Vault",
    "Working",
    "Written",
    "archive_space",
    "audit_space",
    "cedar_schema",
    "could_act",
    "could_approve",
    "could_read",
    "digest_of",
    "exported",
    "extract",
    "flaw_of",
    "found",
    "generated",
    "guard_memory",
    "imports_of",
    "is_safe_address",
    "is_token",
    "load_grants",
    "load_tools",
    "new_id",
    "oidc_installed",
    "pack",
    "parse_path",
    "place_of",
    "place_text",
    "plant_file",
    "plant_postgres",
    "rank_place",
    "ranked_value",
    "read_administration",
    "read_policies",
    "schema_text",
    "space_of",
    "unpack",
    "watch",
    "whole_text",
]
