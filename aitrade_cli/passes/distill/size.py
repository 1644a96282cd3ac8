"""How large a student is: as many parameters as asked for, or as few as make it fast enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Float32

from aitrade_cli.inference.latency import measure
from aitrade_cli.inference.variants import Variant
from aitrade_cli.model.artefact import Artefact, TorchWeights, dump
from aitrade_cli.model.card import Arch, Card, TensorSpec
from aitrade_cli.passes.distill.settings import SHARE_OF_TEACHER, USUAL_MOST, Settings
from aitrade_cli.passes.timing import variant_of
from aitrade_cli.training.loop import fresh
from aitrade_cli.training.students import StudentTooSmall, arch_for, parameters_of
from aitrade_cli.units import ratio_text

Say = Callable[[str], None]
LADDER: Final = (2, 4, 8, 16, 32, 64)  # the teacher's parameters over the student's


def choose_arch(
    source: Artefact,
    settings: Settings,
    teacher: int,
    windows: Float32[np.ndarray, "n time feature"],
    say: Say,
) -> tuple[Arch, tuple[str, ...]]:
    """The student's architecture, and how its size was found.

    Args:
        source: the teacher.
        settings: name and size asked for.
        teacher: its parameters.
        windows: real inputs to time with.
        say: told what is happening.
    """
    if settings.speedup is not None:
        return fast_enough(source, settings, teacher, windows, say)
    if settings.parameters is not None:
        return arch_for(settings.student, settings.parameters, source.card), ()
    wanted = max(1, min(int(teacher * SHARE_OF_TEACHER), USUAL_MOST))
    note = (
        f"size: a quarter of the teacher's parameters, {USUAL_MOST:,} at the most; `--params` or"
        " `--speedup` set another"
    )
    return arch_for(settings.student, wanted, source.card), (note,)


def fast_enough(
    source: Artefact,
    settings: Settings,
    teacher: int,
    windows: Float32[np.ndarray, "n time feature"],
    say: Say,
) -> tuple[Arch, tuple[str, ...]]:
    """The largest student on a ladder of sizes that a quick race finds fast enough."""
    rungs = ladder(settings.student, teacher, source.card)
    say(f"timing {len(rungs)} sizes of `{settings.student}` against the teacher")
    variants = [variant_of("teacher", source)]
    variants += [untrained(name, arch, settings.recipe.seed) for name, arch in rungs.items()]
    timed = measure(
        variants,
        windows=windows,
        effort=settings.effort.choosing(),
        control=False,
        seed=settings.recipe.seed,
        say=say,
    )
    speeds = {name: timed.speed(name).value for name in rungs}
    enough = [name for name in rungs if speeds[name] >= (settings.speedup or 1.0)]
    chosen = enough[0] if enough else max(speeds, key=lambda name: speeds[name])
    told = ", ".join(f"{name} {ratio_text(speed)}" for name, speed in speeds.items())
    notes = [f"size: quick race against the teacher at batch 1: {told}"]
    if not enough:
        notes.append(
            f"no size is {ratio_text(settings.speedup)} as fast as the teacher here; the fastest"
            " was trained"
        )
    return rungs[chosen], tuple(notes)


def ladder(name: str, teacher: int, card: Card) -> dict[str, Arch]:
    """Architectures from half the teacher's size down, by how many parameters they have.

    Raises:
        StudentTooSmall: not even the smallest has fewer than half the teacher's parameters.
    """
    found: dict[str, Arch] = {}
    for divisor in LADDER:
        try:
            arch = arch_for(name, max(1, teacher // divisor), card)
        except StudentTooSmall:
            if not found:
                raise
            break
        found[f"{parameters_of(arch):,} parameters"] = arch
    return found


def untrained(name: str, arch: Arch, seed: int) -> Variant:
    """Speed does not depend on what was learned."""
    card = Card(
        inputs=(TensorSpec("window", ("batch", "time", arch.config["features"])),),
        outputs=(TensorSpec("logits", ("batch", arch.config["classes"])),),
        arch=arch,
    )
    weights = TorchWeights(dict(fresh(arch, seed).state_dict()))
    return Variant(name, dump(Artefact(card, weights, name=name)), "auto")
