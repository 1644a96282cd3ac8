"""torch's own profiler around a few steps of somebody else's training loop."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any, Final

FIRST: Final = 3  # steps that warm up
LAST: Final = 8
OPERATORS: Final = 30


class TorchProfile:
    """Starts after some optimizer steps and stops after some more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps = 0
        self.profiler: Any = None
        self.torch: Any = None

    def install(self, torch: ModuleType) -> None:
        """Count steps from now on."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        self.torch = torch
        register_optimizer_step_post_hook(self.step)

    def step(self, *_: object) -> None:
        """One more step is done."""
        self.steps += 1
        if self.steps == FIRST:
            self.profiler = self.torch.profiler.profile()
            self.profiler.start()
        elif self.steps == LAST:
            self.stop()

    def stop(self) -> None:
        """Write what was seen, once."""
        if self.profiler is None:
            return
        profiler, self.profiler = self.profiler, None
        profiler.stop()
        profiler.export_chrome_trace(str(self.folder / "torch.trace.json"))
        rows = [
            {
                "name": row.key, "calls": row.count, "seconds": row.self_cpu_time_total / 1e6,
                "device_seconds": getattr(row, "self_device_time_total", 0) / 1e6,
            }
            for row in profiler.key_averages()
        ]  # fmt: skip
        rows.sort(key=lambda row: -max(row["seconds"], row["device_seconds"]))
        path = self.folder / "torch.operators.json"
        path.write_text(json.dumps(rows[:OPERATORS]), encoding="utf-8")
