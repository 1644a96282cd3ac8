"""What others' offloading does to a training: refused where it yields no gradients, or hangs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
from torch import nn

from aitrade_cli.errors import Refused


class NoGradients(Refused):
    """Weights were put away for inference; a backward pass would leave them without gradients."""

    default_hint = "load the network whole; `--shard full --offload` trains with weights put away"


def refuse_inference_offload(network: nn.Module) -> None:
    """Stop before a training that would change nothing and not say so.

    Accelerate's ``cpu_offload`` and ``disk_offload`` bring weights back for each forward pass and
    take them away after it, so gradients go nowhere, without an error.

    Raises:
        NoGradients: with the first such part's name.
    """
    for name, part in network.named_modules():
        if getattr(getattr(part, "_hf_hook", None), "offload", False):
            raise NoGradients(
                f"the weights of `{name or 'the network'}` are offloaded by Accelerate"
            )
    for name, weight in network.named_parameters():
        if weight.is_meta:
            raise NoGradients(f"the weight `{name}` is not in memory (device meta)")


def stale_build_locks(folder: Path | None = None) -> list[Path]:
    """Locks of compiled extensions that no process holds: whoever builds next waits for ever.

    DeepSpeed compiles its operators on first use and takes a file as the lock; a build that is
    killed leaves it.

    Args:
        folder: where torch keeps compiled extensions; its own choice where not given.
    """
    if folder is None:
        named = os.environ.get("TORCH_EXTENSIONS_DIR")
        folder = Path(named) if named else Path.home() / ".cache" / "torch_extensions"
    locks = [path for path in folder.glob("**/lock") if path.is_file()]
    held = set(open_files()) if locks else set()
    return sorted(path for path in locks if str(path.resolve()) not in held)


def open_files() -> Iterator[str]:
    for process in psutil.process_iter():
        try:
            yield from (file.path for file in process.open_files())
        except (psutil.Error, OSError):
            continue  # another user's, or gone
