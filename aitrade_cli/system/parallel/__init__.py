"""Work spread over processes: results in order, arrays shared, nothing left behind."""

from aitrade_cli.system.parallel.ordered import Mapped, MapReport, map_ordered
from aitrade_cli.system.parallel.pool import WorkerLost
from aitrade_cli.system.parallel.segment import Blank

__all__ = ["Blank", "MapReport", "Mapped", "WorkerLost", "map_ordered"]
