"""An MCP server for tests: a real one, over its standard input and output as a program, or as an ASGI application.

What its tools do is in their names. As a program it first says what `--say` gives it, which is no message.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel


class Ticket(BaseModel):
    """What a tool answers in a structure."""

    id: str
    price: float
    seen: dict[str, Any]


def server() -> MCPServer:
    """Return a server with a tool for each way to answer, and not to."""
    made = MCPServer("tickets")

    @made.tool()
    def structured(title: str, context: Context) -> Ticket:
        meta = context.request_context.meta or {}
        seen = {"title": title, "order": meta.get("temper/order"), "env": sorted(os.environ), "cwd": str(Path.cwd())}
        return Ticket(id="T-1", price=1.5, seen=seen | {"argv": sys.argv[1:], "token": os.environ.get("TOKEN", "")})

    @made.tool(structured_output=False)
    def text(title: str) -> str:
        return f"opened {title}"

    @made.tool(structured_output=False)
    def json_text(title: str) -> str:
        return json.dumps({"id": title})

    @made.tool()
    def nothing() -> CallToolResult:
        return CallToolResult(content=[])

    @made.tool()
    def fails(title: str) -> CallToolResult:
        return CallToolResult(content=[TextContent(text=f"no such project: {title}")], is_error=True)

    @made.tool()
    def raises(title: str) -> str:
        raise ValueError(f"broken by {title}")

    @made.tool()
    async def sleeps() -> str:
        await asyncio.sleep(60)
        return "late"

    @made.tool()
    def dies() -> str:
        os._exit(3)

    @made.tool()
    def long() -> str:
        return "x" * 200_000

    return made


if __name__ == "__main__":
    if "--say" in sys.argv:
        print(sys.argv[sys.argv.index("--say") + 1], flush=True)
    if "--complain" in sys.argv:
        print(" ".join([*sys.argv, *os.environ.values()]), file=sys.stderr, flush=True)
        sys.exit(4)
    server().run("stdio")
