"""What `quantize` was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, cast, get_args

from aitrade_cli.errors import Usage
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.inference.variants import FULL, Effort
from aitrade_cli.market.backtest import Costs
from aitrade_cli.model.quantization.calibration import Method

Bits = Literal["int8", "int4", "fp16", "bf16"]
Kind = Literal["dynamic", "static"]

FLIPS_WITHOUT_BUDGET: Final = 0.01  # what "trades the same" means where no `--max-flips` says


@dataclass(frozen=True, slots=True)
class Settings:
    """One request.

    Attributes:
        bits: what weights are stored in.
        kinds: which INT8 candidates are built.
        calibration: how static INT8 chooses ranges.
        per_channel: a scale for each output of a weight.
        data: bars to calibrate and judge on; `None` takes the sample inside the artefact.
        symbol: which instrument of those bars.
        budget: what the change may cost.
        costs: of trading, in the backtest.
        effort: how long models are timed against each other.
        seed: of noise, of the order of timing and of the bootstrap.
        qat: fine-tune while rounding, whatever came of rounding alone; it is done by itself where a
            budget of flips is missed.
    """

    bits: Bits = "int8"
    kinds: frozenset[Kind] = frozenset(("dynamic", "static"))
    calibration: Method = "min-max"
    per_channel: bool = True
    data: str | None = None
    symbol: str | None = None
    budget: Budget = field(default_factory=Budget)
    costs: Costs = field(default_factory=Costs)
    effort: Effort = FULL
    seed: int = 0
    qat: bool = False

    def __post_init__(self) -> None:
        if self.qat and self.bits not in {"int8", "int4"}:
            raise Usage("`--qat` goes with `--int8` or `--int4`")

    @property
    def flips_allowed(self) -> float:
        """Share of bars on which a candidate may decide otherwise while it is chosen.

        Without a budget INT8 has to decide alike; fewer or more bits than that were asked
        for by name, and what they cost is reported.
        """
        if self.budget.max_flips is not None:
            return self.budget.max_flips
        return FLIPS_WITHOUT_BUDGET if self.bits == "int8" else 1.0

    def as_history(self) -> dict[str, object]:
        """What the artefact's history keeps."""
        return {
            "bits": self.bits,
            "kinds": sorted(self.kinds),
            "calibration": self.calibration,
            "per_channel": self.per_channel,
            "data": self.data,
            "symbol": self.symbol,
            "flips_allowed": self.flips_allowed,
            "seed": self.seed,
            **({"qat": True} if self.qat else {}),
        }


def bits_of(*, int8: bool, int4: bool, fp16: bool, bf16: bool) -> Bits:
    """The one that was asked for.

    Raises:
        Usage: none or several.
    """
    asked = {"int8": int8, "int4": int4, "fp16": fp16, "bf16": bf16}
    wanted = [name for name, value in asked.items() if value]
    if len(wanted) != 1:
        said = " and ".join(f"`--{name}`" for name in wanted) or "none of them"
        raise Usage(
            f"one of --int8, --int4, --fp16, --bf16 is wanted, found {said}",
            hint="`--int8` is the fast one; `--int4` the smallest",
        )
    return cast(Bits, wanted[0])  # a key of the table above


def kinds_of(bits: Bits, *, dynamic: bool, static: bool) -> frozenset[Kind]:
    """Which INT8 candidates to build: both where neither or both were named.

    Raises:
        Usage: asked for without `--int8`.
    """
    if bits != "int8" and (dynamic or static):
        raise Usage("`--dynamic` and `--static` go with `--int8`")
    named: set[Kind] = set()
    if dynamic:
        named.add("dynamic")
    if static:
        named.add("static")
    return frozenset(named or {"dynamic", "static"})


def method_of(word: str) -> Method:
    """A calibration method by its name.

    Raises:
        Usage: there is none of that name.
    """
    if word not in get_args(Method):
        raise Usage(
            f"no calibration method is called `{word}`",
            hint=f"one of {', '.join(get_args(Method))}",
        )
    return cast(Method, word)  # it was just looked up
