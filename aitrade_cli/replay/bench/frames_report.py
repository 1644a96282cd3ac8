"""What packing did to the frames of a game."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aitrade_cli.replay.bench.rounds import Spread
from aitrade_cli.report.blocks import Block, Notes, Table
from aitrade_cli.units import bytes_text, count_text, microseconds_text, ratio_text


@dataclass(frozen=True, slots=True)
class FramesLine:
    """One game.

    Attributes:
        game: its name, or ``synthetic``.
        frames: that the store holds, each with an action and a reward.
        frame_bytes: of one.
        packed_bytes: of all that the store holds in memory: the newest rows raw, the others
            packed with room to grow, columns, links and rewards.
        unlike: values of drawn batches that differ from those of a store that is not packed.
        draw_us_p50: a batch of 256 stacks of four frames and of the four that followed.
        raw_us_p50: the same out of a store that is not packed.
        sb3_us_p50: stable-baselines3 sampling 256 transitions of four stacked frames raw;
            None where it is not installed.
        ratio: its time over ours; above 1 ours is faster.
    """

    game: str
    frames: int
    frame_bytes: int
    packed_bytes: int
    unlike: int
    draw_us_p50: Spread
    raw_us_p50: Spread
    sb3_us_p50: Spread | None
    ratio: Spread | None

    JSON_PROPERTIES = ("smaller", "saved_share")

    @property
    def smaller(self) -> float:
        """Bytes of the frames, each stored once, over those of the packed ones."""
        return self.frames * self.frame_bytes / self.packed_bytes

    @property
    def saved_share(self) -> float:
        """Of a buffer that holds four frames before and four after each step."""
        return 1.0 - self.packed_bytes / (8 * self.frames * self.frame_bytes)


def frames_blocks(lines: Sequence[FramesLine]) -> Iterator[Block]:
    if not lines:
        return
    rows = [
        (
            line.game,
            count_text(line.frames),
            bytes_text(line.packed_bytes),
            ratio_text(line.smaller),
            microseconds_text(line.draw_us_p50.value),
            microseconds_text(line.raw_us_p50.value),
            microseconds_text(None if line.sb3_us_p50 is None else line.sb3_us_p50.value),
        )
        for line in lines
    ]
    columns = ("Frames", "Count", "Packed", "Smaller", "Draw", "Raw", "sb3")
    yield Table("Packed in memory", columns, rows)
    yield Notes(
        "Frames",
        (
            "draw: 256 transitions of four stacked frames, each with its action, reward and next "
            "stack, out of the packed store; raw: the same out of a store that is not packed; "
            "sb3: the same out of stacks that are kept whole",
        ),
    )
