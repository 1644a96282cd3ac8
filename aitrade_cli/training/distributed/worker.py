"""One process of a run, from its start to its last word."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

import torch

from aitrade_cli.errors import AitradeError
from aitrade_cli.training.distributed.group import Seat, device_for, joined

ORPHANED: Final = 141
SECONDS_BETWEEN_LOOKS: Final = 1.0


def live(
    pipe: Connection, seat: Seat, threads: int, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """Join the group, do the work, tell the result; the process ends here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C reaches the parent, which ends us
    threading.Thread(target=leave_with, args=(os.getppid(),), daemon=True).start()
    torch.set_num_threads(threads)

    def say(text: str) -> None:
        if seat.rank == 0:
            pipe.send(("say", text))

    try:
        with joined(seat, device_for(seat)):
            result = work(seat, say, *arguments)
        pipe.send(("done", pickle.dumps(result) if seat.rank == 0 else b""))
    except BrokenPipeError:  # the parent has given up
        os._exit(1)
    except Exception as error:  # told to the parent, which raises it
        pipe.send(("failed", (portable(error), traceback.format_exc())))
        # Not through the interpreter's end: leaving the group would wait for the others.
        os._exit(1)


def portable(error: Exception) -> bytes:
    """An error of ours that the parent can raise as it is; empty for any other."""
    if not isinstance(error, AitradeError):
        return b""
    try:
        pickle.loads(data := pickle.dumps(error))
    except Exception:  # whatever its constructor asks for
        return b""
    return data


def leave_with(parent: int) -> None:
    # A parent that was killed ends nobody: without this its workers would train on, unseen.
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(ORPHANED)
