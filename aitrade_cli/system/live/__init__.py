"""What a running job does to the machine, sampled from another process."""

from aitrade_cli.system.live.report import LiveReport
from aitrade_cli.system.live.watcher import Outlets, watch

__all__ = ["LiveReport", "Outlets", "watch"]
