"""The program, started from a process that has its libraries loaded.

Hundreds of tests run a command line, and each would spend two seconds on importing torch and its
like. Here a server imports the libraries once and forks for each command: what is the program's
own, from `aitrade_cli/__init__.py` on, is imported anew by every one of them, in a process of its
own with the caller's words, environment, folder and streams. What depends on how a process is born
or dies (start-up, signals, a disk that is full) is tested with `shell.PROGRAM` instead.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn

from tests import shell
from tests.shell import ROOT

LIBRARIES: Final = (
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "numba",
    "onnx",
    "onnxruntime",
    "optuna",
    "pandas",
    "pyarrow.parquet",
    "rich.progress",
    "scipy.stats",
    "torch",
    "torch._dynamo",  # the first optimizer of a process loads it
)
STREAMS: Final = (0, 1, 2)
STARTING: Final = threading.Lock()
LENGTH: Final = struct.Struct("<q")

# The client, without a library: it hands over its streams, waits, and ends as the program ended.
CLIENT: Final = """\
import json, os, signal, socket, struct, sys
server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
asked = json.dumps([sys.argv[2:], dict(os.environ), os.getcwd()]).encode()
socket.send_fds(server, [struct.pack("<q", len(asked))], [0, 1, 2])
server.sendall(asked)
code = struct.unpack("<q", server.recv(8, socket.MSG_WAITALL))[0]
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def program() -> tuple[str, ...]:
    """The words that run the program by a server of this process, started when first asked for."""
    with STARTING:
        return started()


def aitrade(*words: str, **how: Any) -> subprocess.CompletedProcess[bytes]:
    """As `shell.aitrade`, by that server."""
    return shell.aitrade(*words, program=program(), **how)


@cache
def started() -> tuple[str, ...]:
    folder = tempfile.TemporaryDirectory(prefix="aitrade-warm-")
    atexit.register(folder.cleanup)
    address, client = Path(folder.name) / "server", Path(folder.name) / "client.py"
    client.write_text(CLIENT)
    # its standard input is what the server lives by: it closes when this process ends
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.warm", str(address)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert server.stdin is not None
    assert server.stdout is not None
    atexit.register(server.wait)
    atexit.register(server.stdin.close)
    assert server.stdout.readline() == b"ready\n"
    server.stdout.close()
    return sys.executable, "-ISE", str(client), str(address)


def serve(address: str) -> None:
    """Fork for each command, until the caller's end of standard input closes."""
    for name in LIBRARIES:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the keepers need no burying
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    os.write(1, b"ready\n")
    while True:
        ready, _, _ = select.select([listening, 0], [], [])
        if 0 in ready:
            return
        caller, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            keep(caller)
        caller.close()


def keep(caller: socket.socket) -> NoReturn:
    """Fork the program, tell the caller how it ended, and end it where the caller is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    first, streams, _, _ = socket.recv_fds(caller, LENGTH.size, len(STREAMS))
    (length,) = LENGTH.unpack(first)
    words, environment, folder = json.loads(caller.recv(length, socket.MSG_WAITALL))
    child = os.fork()
    if child == 0:
        caller.close()
        run(words, environment, folder, streams)
    for stream in streams:
        os.close(stream)
    handle = os.pidfd_open(child)
    ready, _, _ = select.select([handle, caller], [], [])
    if handle not in ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if handle in ready:
        caller.sendall(LENGTH.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def run(words: list[str], environment: dict[str, str], folder: str, streams: list[int]) -> NoReturn:
    """Become the program."""
    for stream, there in zip(streams, STREAMS, strict=True):
        os.dup2(stream, there)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    random.seed()
    sys.path[0] = folder
    sys.argv = ["aitrade", *words]
    code = 1
    try:
        runpy.run_module("aitrade_cli", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    # as the interpreter ends: pools are told, threads are waited for, then what was registered
    vars(threading)["_shutdown"]()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    # No further: the libraries would wait for threads of theirs that a fork does not have.
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
