"""What `compile` was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aitrade_cli.errors import Usage
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.inference.variants import FULL, Effort
from aitrade_cli.market.backtest import Costs
from aitrade_cli.model.compilation.backends import NAMES, backends
from aitrade_cli.model.compilation.interface import Backend

PRECISIONS: Final = ("float32", "bfloat16")
FLIPS_WITHOUT_BUDGET: Final = 0.01  # what "equivalent" means where no `--max-flips` says
SHIPS_AS: Final = {"inductor": "aoti"}  # what runs in a fresh process without compiling again


@dataclass(frozen=True, slots=True)
class CompileSettings:
    """One request.

    Attributes:
        backends: asked for by name; empty tries every one.
        insist: ship what was asked for by name even where it gains nothing.
        precisions: candidates to build, of ``PRECISIONS``.
        batches: windows in one call; the first is what the gain is taken at.
        data: bars to judge on; `None` takes the sample inside the artefact.
        symbol: which instrument of those bars.
        budget: what the change may cost.
        costs: of trading, in the backtest.
        effort: how long models are timed against each other.
        seed: of noise, of the order of timing and of the bootstrap.
    """

    backends: tuple[str, ...] = ()
    insist: bool = True
    precisions: tuple[str, ...] = PRECISIONS
    batches: tuple[int, ...] = (1, 256)
    data: str | None = None
    symbol: str | None = None
    budget: Budget = field(default_factory=Budget)
    costs: Costs = field(default_factory=Costs)
    effort: Effort = FULL
    seed: int = 0

    @property
    def flips_allowed(self) -> float:
        """Share of the choosing windows on which a candidate may decide otherwise."""
        allowed = self.budget.max_flips
        return FLIPS_WITHOUT_BUDGET if allowed is None else allowed

    @property
    def by_name(self) -> bool:
        """No gain informs instead of failing."""
        return bool(self.backends) and self.insist

    def wanted(self) -> tuple[Backend, ...]:
        """The backends to try; with one comes what its result is shipped as."""
        if not self.backends:
            return backends()
        names = {*self.backends, *(SHIPS_AS[one] for one in self.backends if one in SHIPS_AS)}
        return tuple(one for one in backends() if one.name in names)

    def as_history(self, source: str) -> dict[str, object]:
        """What the artefact's history keeps."""
        return {
            "source": source,
            "backends": list(self.backends),
            "precisions": list(self.precisions),
            "batches": list(self.batches),
            "data": self.data,
            "symbol": self.symbol,
            "flips_allowed": self.flips_allowed,
            "seed": self.seed,
        }


def backends_of(words: Sequence[str]) -> tuple[str, ...]:
    """Backends by name, each once.

    Raises:
        Usage: one is none of ours.
    """
    unknown = next((word for word in words if word not in NAMES), None)
    if unknown is not None:
        raise Usage(f"no backend is called `{unknown}`", hint=f"one of {', '.join(NAMES)}")
    return tuple(dict.fromkeys(words))


def precisions_of(words: Sequence[str]) -> tuple[str, ...]:
    """Precisions by name; both where none was given.

    Raises:
        Usage: one is none of ours. INT8 is another command's.
    """
    unknown = next((word for word in words if word not in PRECISIONS), None)
    if unknown is not None:
        raise Usage(
            f"`--precision {unknown}` is unknown",
            hint="float32 or bfloat16; for INT8: `aitrade quantize MODEL --int8`",
        )
    return tuple(one for one in PRECISIONS if one in words) or PRECISIONS
