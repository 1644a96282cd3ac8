"""TorchScript: an old input, vetted by its source and tried in another process first."""

from __future__ import annotations

import contextvars
import io
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

import torch

from aitrade_cli.errors import BadInput, Refused
from aitrade_cli.model.archive import pack
from aitrade_cli.model.card import Card, Step, TensorSpec
from aitrade_cli.model.loading.members import Members
from aitrade_cli.model.loading.operators import CustomOperators
from aitrade_cli.model.loading.program_json import TOUCH_FILES_OR_STORAGE
from aitrade_cli.model.loading.sniff import NativeCode, native

PROBE: Final = Path(__file__).with_name("probe.py")
SECONDS: Final = 10  # to end after its requests have ended
KEPT: Final = re.compile(r"(?:code/.*\.py|data\.pkl|constants\.pkl|data/\d+|constants/\d+)")
# Operators that reach beyond tensors, in any spelling the compiler takes.
REACHING_OUT: Final = re.compile(
    r"\b(?:from_file|save|load_tensor|rpc_\w+|_record_function\w*|classes)\b"
)
NAMESPACE: Final = re.compile(r"\bops\s*\.\s*(\w+)")
OWN_NAMESPACES: Final = frozenset(("aten", "prim", "prims", "quantized", "sparse"))
NOTE: Final = "TorchScript is deprecated in torch; export with `torch.export` or to ONNX instead"


class ScriptReachesOut(Refused):
    """The script uses an operator that touches files, processes or foreign classes."""

    default_hint = "export the model as ONNX from where it was trained"

    def __init__(self, member: str, word: str) -> None:
        super().__init__(f"`{member}` of the TorchScript archive uses `{word}`")


class BadScript(BadInput):
    """torch cannot read the TorchScript archive."""

    default_hint = "save it again with `torch.jit.save`, or better: export it as ONNX"


_shared: contextvars.ContextVar[subprocess.Popen[bytes] | None] = contextvars.ContextVar(
    "shared_probe", default=None
)


def vet_script(members: Members) -> tuple[bytes, Card]:
    """The archive packed again without its debug parts, and what it tells of itself.

    Raises:
        NativeCode: a member is a native library.
        ScriptReachesOut: the source names an operator that touches files or other code.
        CustomOperators: it uses operators outside torch's own.
        BadScript: torch cannot read it, crashes on it, or takes too long.
    """
    for name, content in members.items():
        if name.endswith((".so", ".dll", ".dylib")) or native(content).startswith("an ELF"):
            raise NativeCode(f"`{name}` inside is a native library")
        check_source(name, content)
    kept = {name: content for name, content in members.items() if KEPT.fullmatch(name)}
    archive = pack(
        {
            **{f"archive/{name}": content for name, content in kept.items()},
            "archive/version": members.get("version", b"3\n"),
            "archive/byteorder": b"little",
        }
    )
    return archive, card_of_answer(ask(archive))


def check_source(name: str, content: bytes) -> None:
    # The pickles name classes; the code calls operators.
    text = content.decode("latin1") if name.endswith((".py", ".pkl")) else ""
    if name.endswith(".pkl"):
        if "torch.classes" in text:
            raise ScriptReachesOut(name, "torch.classes")
        return
    if found := REACHING_OUT.search(text):
        raise ScriptReachesOut(name, found[0])
    foreign = [space for space in NAMESPACE.findall(text) if space not in OWN_NAMESPACES]
    if foreign:
        raise CustomOperators(f"{space}::…" for space in foreign)


def card_of_answer(answer: dict[str, Any]) -> Card:
    if "error" in answer:
        raise BadScript(f"torch cannot read the TorchScript archive: {answer['error']}")
    foreign = [
        name
        for name in answer["operators"]
        if name.split("::")[0] not in OWN_NAMESPACES or TOUCH_FILES_OR_STORAGE.search(f".{name}")
    ]
    if foreign:
        raise CustomOperators(foreign)
    # A script does not know its shapes; one window is what every model of ours takes.
    inputs = tuple(
        TensorSpec(item["name"], ("batch", "time", "feature"))
        for item in answer["inputs"]
        if item["type"] == "Tensor"
    )
    step = Step("read-torchscript", {"note": NOTE}, {}, {"torch": torch.__version__}, None)
    outputs = (TensorSpec("logits", ("batch", "class")),)
    return Card(inputs=inputs, outputs=outputs, history=(step,))


def ask(archive: bytes) -> dict[str, Any]:
    """What the probe says of an archive."""
    running = _shared.get()
    if running is not None:
        return exchange(running, archive)
    with probe() as started:
        return exchange(started, archive)


def exchange(running: subprocess.Popen[bytes], archive: bytes) -> dict[str, Any]:
    requests, answers = pipes(running)
    try:
        requests.write(len(archive).to_bytes(8, "little"))
        requests.write(archive)
        requests.flush()
        size = int.from_bytes(answers.read(4), "little")
        return json.loads(answers.read(size))
    # OSError: it died before it had read all.
    except (OSError, ValueError) as error:
        raise BadScript("the process that tries TorchScript ended without an answer") from error


def pipes(running: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if running.stdin is None or running.stdout is None:
        raise BadScript("the process that tries TorchScript has no pipes")
    return running.stdin, running.stdout


@contextmanager
def probe() -> Iterator[subprocess.Popen[bytes]]:
    """A process that tries archives until the block ends."""
    # -I: neither the working folder nor the environment can put a module in torch's way.
    command = [sys.executable, "-I", "-W", "ignore", str(PROBE)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as started:
        try:
            yield started
        finally:
            for pipe in pipes(started):
                with suppress(OSError):  # what was not read is lost, and nobody waits for it
                    pipe.close()
            stop(started)


def stop(started: subprocess.Popen[bytes]) -> None:
    try:
        started.wait(SECONDS)
    except subprocess.TimeoutExpired:
        started.kill()


@contextmanager
def shared_probe() -> Iterator[None]:
    """One process for every TorchScript archive read inside the block: two seconds less each."""
    with probe() as started:
        token = _shared.set(started)
        try:
            yield
        finally:
            _shared.reset(token)


def open_script(archive: bytes) -> torch.jit.ScriptModule:
    """Load an archive that `vet_script` made, in eval mode.

    Raises:
        BadScript: torch cannot read it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, which the card's history says
        try:
            module = torch.jit.load(io.BytesIO(archive), map_location="cpu")
        except RuntimeError as error:
            raise BadScript(f"torch cannot read the TorchScript archive: {error}") from error
    return module.eval()
