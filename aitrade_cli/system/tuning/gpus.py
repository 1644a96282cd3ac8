"""GPUs as the driver sees them, through NVML where it is installed."""

from __future__ import annotations

import importlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from aitrade_cli.system.tuning.tree import Tree

FOLDER: Final = "/proc/driver/nvidia/gpus"
# Bits of nvmlClocksThrottleReasons that cost speed; idle and user-set clocks are not among them.
SLOWED_BY: Final = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "thermal limit",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. `None` where the driver was not asked or does not say."""

    name: str
    persistent: bool | None = None
    node: int | None = None  # memory node of its PCI slot
    slowed_by: tuple[str, ...] = ()
    ampere: bool | None = None  # has TF32


def read_gpus(tree: Tree) -> tuple[Gpu, ...]:
    """Ask NVML on this machine; on a tree, read what the driver left in ``/proc``."""
    if tree.real_kernel:
        found = ask_nvml(tree)
        if found is not None:
            return found
    names = [tree.text(f"{FOLDER}/{slot}/information") or "" for slot in tree.names(FOLDER)]
    slots = tree.names(FOLDER)
    return tuple(
        Gpu(model_of(text), node=node_of(tree, slot))
        for slot, text in zip(slots, names, strict=True)
    )


def ask_nvml(tree: Tree) -> tuple[Gpu, ...] | None:
    """What NVML says, or `None` where there is no such library."""
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # a missing driver has a dozen names, none of them importable
        return None
    try:
        handles = (nvml.nvmlDeviceGetHandleByIndex(at) for at in range(nvml.nvmlDeviceGetCount()))
        return tuple(describe(nvml, handle, tree) for handle in handles)
    finally:
        with suppress(Exception):
            nvml.nvmlShutdown()


def describe(nvml: Any, handle: Any, tree: Tree) -> Gpu:  # noqa: ANN401 -- it has no types
    """One GPU; what its driver does not support stays `None`."""
    name = nvml.nvmlDeviceGetName(handle)
    persistent = node = ampere = None
    reasons = 0
    with suppress(nvml.NVMLError):
        persistent = bool(nvml.nvmlDeviceGetPersistenceMode(handle))
    with suppress(nvml.NVMLError):
        bus = nvml.nvmlDeviceGetPciInfo(handle).busId
        node = node_of(tree, bus.decode() if isinstance(bus, bytes) else bus)
    with suppress(nvml.NVMLError):
        reasons = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    with suppress(nvml.NVMLError):
        ampere = nvml.nvmlDeviceGetCudaComputeCapability(handle)[0] >= 8
    slowed = tuple(words for bit, words in SLOWED_BY.items() if reasons & bit)
    return Gpu(name.decode() if isinstance(name, bytes) else name, persistent, node, slowed, ampere)


def node_of(tree: Tree, bus: str) -> int | None:
    """Memory node of a PCI address, which NVML writes with eight digits of domain."""
    domain, _, rest = bus.lower().partition(":")
    text = tree.text(f"/sys/bus/pci/devices/{domain[-4:]}:{rest}/numa_node") or ""
    return int(text) if text.isdigit() else None


def model_of(information: str) -> str:
    for line in information.splitlines():
        if line.startswith("Model:"):
            return line.partition(":")[2].strip()
    return "NVIDIA GPU"
