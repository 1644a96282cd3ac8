"""What a bench found, as data; `bench_view.py` lays it out."""

from __future__ import annotations

from dataclasses import dataclass

from aitrade_cli.inference.latency_report import Judgement, Latency
from aitrade_cli.inference.resampling import Ratio
from aitrade_cli.inference.variants import Effort, NotRun
from aitrade_cli.system.host import Host, Load


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One model in one runtime at one batch size and thread count.

    Attributes:
        speed: times as fast as ``baseline``, the first variant of all.
        own_speed: times as fast as ``own_baseline``: the same model's first runtime, or
            for an ONNX file that of the torch model named before it.
    """

    model: str
    latency: Latency
    baseline: str
    speed: Ratio
    judgement: Judgement
    own_baseline: str
    own_speed: Ratio
    own_judgement: Judgement

    @property
    def batch(self) -> int:
        return self.latency.batch

    @property
    def threads(self) -> int:
        return self.latency.threads


@dataclass(frozen=True, slots=True)
class Cell:
    """The conditions at one batch size and thread count."""

    batch: int
    threads: int
    noise_band: float  # >= 1: a ratio between 1/band and band is a tie
    control: Ratio | None  # a second process of the first variant against it
    load: Load


@dataclass(frozen=True, slots=True)
class Pair:
    """The first model and the second, each in its first runtime, in the first cell."""

    before: BenchRow
    after: BenchRow
    noise_band: float


@dataclass(frozen=True, slots=True)
class BenchReport:
    """Every figure, its conditions, and what could not be run. Fastest first on screen only."""

    rows: tuple[BenchRow, ...]
    cells: tuple[Cell, ...]
    not_run: tuple[NotRun, ...]
    notes: tuple[str, ...]
    host: Host
    effort: Effort
    seed: int

    JSON_PROPERTIES = ("loaded",)

    @property
    def loaded(self) -> bool:
        """Others were busy enough on this host to change which variant wins."""
        return any(cell.load.loaded for cell in self.cells)

    def fastest(self, batch: int) -> BenchRow:
        """The row with the lowest median at a batch size, over all thread counts."""
        found = [row for row in self.rows if row.batch == batch]
        return min(found, key=lambda row: row.latency.latency_us_p50)

    def pair(self) -> Pair | None:
        """What a comparison of two models is about; `None` where one of them did not run."""
        before = self.rows[0]
        cell = self.cells[0]
        for row in self.rows:
            if row.model != before.model and (row.batch, row.threads) == (cell.batch, cell.threads):
                return Pair(before, row, cell.noise_band)
        return None
