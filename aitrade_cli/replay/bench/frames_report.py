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
        frames: that were packed.
        frame_bytes: of one.
        packed_bytes: of all that is held in memory for them.
        draw_us_p50: unpacking 256 stacks of five successive frames.
        raw_us_p50: gathering the same frames unpacked.
        sb3_us_p50: stable-baselines3 sampling 256 transitions of four stacked frames raw;
            None where it is not installed.
        ratio: its time over ours; above 1 ours is faster.
    """

    game: str
    frames: int
    frame_bytes: int
    packed_bytes: int
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
            "draw: 256 stacks of five frames out of the packed ones; raw: the same frames "
            "gathered unpacked; sb3: 256 transitions of four stacked frames, raw",
        ),
    )
