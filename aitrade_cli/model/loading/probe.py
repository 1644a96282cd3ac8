"""Try a TorchScript archive in a process that may die of it. Run as a file, not imported.

torch parses TorchScript in C++, and running `__setstate__` belongs to reading it. So the
first reading happens in a forked child that cannot open a file, with ceilings on memory
and time. Requests are an 8-byte length and the archive; answers a 4-byte length and JSON.
"""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import sys
import warnings
from typing import Any, BinaryIO

import torch

SPARE_BYTES = 1 << 30
SECONDS = 30


def main(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the requests end."""
    while len(head := requests.read(8)) == 8:
        archive = requests.read(int.from_bytes(head, "little"))
        answer = in_child(archive)
        answers.write(len(answer).to_bytes(4, "little") + answer)
        answers.flush()


def in_child(archive: bytes) -> bytes:
    """What a child says of the archive, or how it died."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            fence(len(archive))
            os.write(writer, json.dumps(tell(archive)).encode()[:60_000])
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return json.dumps({"error": f"reading it ends with signal {os.WTERMSIG(status)}"}).encode()
    return answer or json.dumps({"error": "reading it takes too much memory"}).encode()


def fence(size: int) -> None:
    """No new file, no core, little memory, little time."""
    signal.alarm(2 * SECONDS)  # for what waits instead of working
    pages = 0
    if os.path.exists("/proc/self/statm"):
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
    room = pages * resource.getpagesize() + 8 * size + SPARE_BYTES
    for what, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_AS, room if pages else resource.RLIM_INFINITY),
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(what, (limit, limit))


def tell(archive: bytes) -> dict[str, Any]:
    """The arguments and operators of the module, or the first line of the error."""
    warnings.simplefilter("ignore")
    try:
        module = torch.jit.load(io.BytesIO(archive), map_location="cpu")
        arguments = module.forward.schema.arguments[1:]
        return {
            "inputs": [{"name": item.name, "type": str(item.type)} for item in arguments],
            "operators": sorted(set(torch.jit.export_opnames(module)))[:2000],
        }
    except Exception as error:  # whatever it is, the parent tells it in one line
        lines = [line for line in str(error).splitlines() if line.strip()] or [""]
        return {"error": f"{type(error).__name__}: {lines[0][:160]}"}


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
