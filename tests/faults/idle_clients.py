"""Many clients of one live stream, in a process of their own: `python idle_clients.py PORT TARGET TOKEN NUMBER`.

Says `open` once each has been answered 200, and `heard` once each has been sent an event.
"""

from __future__ import annotations

import resource
import selectors
import socket
import sys


def main() -> None:
    port, target, token, number = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    ready = selectors.DefaultSelector()
    for _ in range(number):
        each = socket.create_connection(("127.0.0.1", port), timeout=60)
        each.sendall(request)
        each.setblocking(False)
        ready.register(each, selectors.EVENT_READ, bytearray())
    until_all_have(ready, number, b": what is committed")
    print("open", flush=True)
    until_all_have(ready, number, b"data: ")
    print("heard", flush=True)


def until_all_have(ready: selectors.BaseSelector, number: int, sought: bytes) -> None:
    having: set[int] = set()
    while len(having) < number:
        for key, _ in ready.select(60):
            came = key.fileobj.recv(65_536)  # type: ignore[union-attr]  # it is a socket
            assert came, "the server ended a stream"
            key.data.extend(came)
            if sought in key.data:
                having.add(key.fd)


if __name__ == "__main__":
    main()
