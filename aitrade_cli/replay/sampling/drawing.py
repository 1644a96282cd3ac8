"""Choose rows of the ring until every one of them can be rebuilt as asked."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Bool

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.replay.interfaces import Indices, Sampler, Weighing
from aitrade_cli.replay.ring import LINK, Ring
from aitrade_cli.replay.sampling.gathering import Slots, Wish
from aitrade_cli.replay.sampling.windows import PADS, Pad, windows

ROUNDS: Final = 200  # of drawing again what could not be used


class NothingToSample(BadInput):
    """No row of the store can be drawn as asked."""

    default_hint = "add transitions first, or ask for a shorter window"


def wish_of(ring: Ring, n_step: int, discount: float, window: int, pad: Pad) -> Wish:
    """Raises:
    Usage: a number is out of its range, or the schema has no links to follow.
    """
    if n_step < 1 or window < 0 or not 0.0 <= discount <= 1.0:
        raise Usage(f"no batch has n_step {n_step}, window {window}, discount {discount}")
    if pad not in PADS:
        raise Usage(f"`pad` is one of {', '.join(PADS)}, got `{pad}`")
    if ring.schema.stores_next and (n_step > 1 or window):
        raise Usage(
            "rows that hold their own `next_obs` are not followed to others",
            hint="leave `next_obs` out of the schema; it is rebuilt",
        )
    return Wish(n_step, discount, window, pad)


class Drawing:
    """Asks a sampler, and again for what cannot be used.

    Args:
        ring: of the store.
        sampler: bound to it.
        rng: of the draws.
    """

    def __init__(self, ring: Ring, sampler: Sampler, rng: np.random.Generator) -> None:
        self.ring = ring
        self.sampler = sampler
        self.rng = rng
        self.weighing = sampler if isinstance(sampler, Weighing) else None

    def draw(self, count: int, wish: Wish) -> tuple[Indices, np.ndarray | None]:
        """Indices and importance weights.

        Raises:
            NothingToSample: no row can be drawn as asked.
        """
        indices, chances = self.mended(*self.first(count), wish)
        return indices, self.weighed(chances)

    def first(self, count: int) -> tuple[Indices, np.ndarray | None]:
        """Indices and what `weighed` wants, where some may be rows that cannot be drawn.

        Raises:
            NothingToSample: there is none that can.
        """
        self.check_drawable()
        return self.offered(count)

    def offered(self, count: int) -> tuple[Indices, np.ndarray | None]:
        """What the sampler offers. Chances, not weights, where it can tell them: a weight is
        over the largest of its batch, and rows that are drawn again are a batch of their own.
        """
        if self.weighing is not None:
            return self.weighing.draw_chances(self.rng, count)
        return self.sampler.draw(self.rng, count)

    def weighed(self, chances: np.ndarray | None) -> np.ndarray | None:
        """The importance weights of a batch that holds nothing but rows that can be drawn."""
        if chances is None or self.weighing is None:
            return chances
        return self.weighing.weigh(chances)

    def check_drawable(self) -> None:
        """Raises:
        NothingToSample: there is no row that can be drawn.
        """
        ring = self.ring
        if min(ring.total, ring.capacity) == ring.unusable:
            raise NothingToSample("the store holds no transition")

    def mended(
        self, indices: Indices, chances: np.ndarray | None, wish: Wish
    ) -> tuple[Indices, np.ndarray | None]:
        """Draw again for what cannot be used.

        Raises:
            NothingToSample: no row can be drawn as asked.
        """
        for _ in range(ROUNDS):
            usable = self.usable(self.slots_of(indices), wish)
            if usable.all():
                return indices, chances
            wrong = np.flatnonzero(~usable)
            indices[wrong], chance = self.offered(len(wrong))
            if chances is not None and chance is not None:
                chances[wrong] = chance
        raise NothingToSample("hardly any row can be drawn as asked")

    def again(
        self, indices: Indices, weights: np.ndarray | None, wish: Wish
    ) -> tuple[Indices, np.ndarray | None]:
        """A batch of which some rows cannot be drawn any more, with others in their place.

        Where rows carry weights it is another batch: a weight says what share of its own batch
        a row had, so it cannot stand beside those of another.

        Raises:
            NothingToSample: no row can be drawn as asked.
        """
        if weights is None:
            return self.mended(indices, None, wish)
        return self.draw(len(indices), wish)

    def slots_of(self, indices: Indices) -> Slots:
        """Where live rows lie; nothing to divide before the first one was evicted."""
        ring = self.ring
        return indices if ring.total <= ring.capacity else indices % ring.capacity

    def usable(self, slots: Slots, wish: Wish) -> Bool[np.ndarray, " n"]:
        """Whether live rows can be drawn as asked."""
        usable = self.ring.words[slots].view(LINK)["following"] >= 0
        if wish.window > 1:
            usable &= windows(self.ring, slots, wish.window, wish.pad).whole
        return usable
