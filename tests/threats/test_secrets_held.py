"""Secrets of a server that runs: who else on the machine could read them, and what is left of them when they change."""

from __future__ import annotations

import subprocess
import sys

import pytest

# As whoever the tests run as, but never as root, who may read everything.
LOOKING = """
import ctypes, os
from temper.runtime import guard_memory

libc = ctypes.CDLL(None)
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
libc.prctl(4, 1, 0, 0, 0)

def looked(what):
    child = os.fork()
    if child == 0:
        try:
            open(f"/proc/{os.getppid()}/{what}", "rb").read(1)
        except PermissionError:
            os._exit(1)
        except OSError:
            os._exit(2)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

print(looked("environ"), looked("mem") == 1)
guard_memory()
print(looked("environ"), looked("mem") == 1, libc.prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="where there is no /proc, nobody looks there")
def test_no_program_of_the_same_user_reads_the_servers_memory_or_environment() -> None:
    """Before, it can: a tool's program would find there what its clean environment has not."""
    ran = subprocess.run([sys.executable, "-c", LOOKING], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.split("\n")[:2] == ["0 False", "1 True 0"]


SERVING = """
import ctypes, resource, sys
import temper.cli.serving
from temper.cli.main import main

async def told(args, loaded):
    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0])
    return 0

temper.cli.serving._serve = told
sys.exit(main(["serve"]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is the way of Linux")
def test_a_server_guards_its_memory_before_it_reads_a_secret(tmp_path_factory: pytest.TempPathFactory) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SERVING], capture_output=True, text=True, check=True, timeout=60,
        cwd=tmp_path_factory.mktemp("empty"),
    )  # fmt: skip
    assert ran.stdout == "0 0\n"
