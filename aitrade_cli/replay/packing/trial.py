"""Which codec suits some records: each packs a sample, and the smallest is taken."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import UInt8

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.interfaces import Codec, Selective
from aitrade_cli.replay.packing.codecs import codec_named, train
from aitrade_cli.report.blocks import Block, Table, Verdict, view
from aitrade_cli.units import bytes_text, ratio_text

Purpose = Literal["draw", "keep"]
# Rows that are drawn one by one must not cost the unpacking of their neighbours.
CODECS: Final[dict[Purpose, tuple[str, ...]]] = {
    "draw": ("raw", "patch", "lz4"),
    "keep": ("raw", "patch", "lz4", "zstd", "columns", "cold"),
}
WORTH: Final = 0.9  # of the raw bytes: a codec that saves less than a tenth is not worth it
DRAWN: Final = 256  # rows of the trial batch


@dataclass(frozen=True, slots=True)
class CodecTrial:
    """What one codec made of the sample.

    Attributes:
        codec: its name.
        packed_bytes: of the whole sample, a trained dictionary included; None where it
            could not pack it.
        ratio: raw bytes over packed ones.
        encode_us_per_row: wall time, one run.
        draw_us_per_row: wall time of unpacking random rows, one by one where the codec can;
            the choice does not depend on it.
        note: why it could not be used.
    """

    codec: str
    packed_bytes: int | None
    ratio: float | None
    encode_us_per_row: float | None
    draw_us_per_row: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class CodecChoice:
    """The report of a trial."""

    chosen: str
    purpose: Purpose
    rows: int
    record_bytes: int
    trials: tuple[CodecTrial, ...]


def choose_codec(
    sample: UInt8[np.ndarray, "n record"], purpose: Purpose = "draw"
) -> tuple[Codec, CodecChoice]:
    """Try every codec on the sample and take the smallest; raw unless that saves a tenth.

    The choice depends on the sizes alone, so the same sample gives the same codec.

    Args:
        sample: records as they will come, a block's worth or more.
        purpose: ``draw`` for rows that are drawn from memory, ``keep`` for the disk.

    Raises:
        BadInput: there are no records.
    """
    if not len(sample):
        raise BadInput("a codec is chosen on records, and there are none")
    setups = dict.fromkeys(CODECS[purpose], b"")
    if purpose == "keep":
        setups["zstd"] = setups["cold"] = train(sample[:: max(1, len(sample) // 2048)])
    trials = tuple(attempt(codec_named(name, setup), sample) for name, setup in setups.items())
    chosen = smallest(trials)
    report = CodecChoice(chosen, purpose, len(sample), sample.shape[1], trials)
    return codec_named(chosen, setups[chosen]), report


def smallest(trials: Sequence[CodecTrial]) -> str:
    raw = next(trial.packed_bytes for trial in trials if trial.codec == "raw")
    usable = [trial for trial in trials if trial.packed_bytes is not None]
    best = min(usable, key=lambda trial: trial.packed_bytes or 0)
    return best.codec if (best.packed_bytes or 0) <= WORTH * (raw or 0) else "raw"


def attempt(codec: Codec, sample: UInt8[np.ndarray, "n record"]) -> CodecTrial:
    """Pack the sample, unpack it again, and say what came of it."""
    try:
        codec.encode(sample[:1])  # compiles what is compiled on first use
        start = time.perf_counter()
        data = codec.encode(sample)
    except BadInput as error:
        return CodecTrial(codec.name, None, None, None, None, str(error))
    packed = time.perf_counter()
    whole = codec.decode(data, len(sample), sample.shape[1])
    if not np.array_equal(whole, sample):
        return CodecTrial(codec.name, None, None, None, None, "did not give the records back")
    rows = np.random.default_rng(0).integers(0, len(sample), DRAWN)
    out = np.empty((DRAWN, sample.shape[1]), dtype=np.uint8)
    before = time.perf_counter()
    if isinstance(codec, Selective):
        codec.decode_rows(data, rows, out)
    else:
        codec.decode(data, len(sample), sample.shape[1]).take(rows, axis=0, out=out)
    drawn = time.perf_counter()
    size = len(data) + len(codec.setup)
    return CodecTrial(
        codec.name,
        size,
        sample.nbytes / size,
        1e6 * (packed - start) / len(sample),
        1e6 * (drawn - before) / DRAWN,
    )


@view.register
def _(report: CodecChoice) -> Sequence[Block]:
    rows = [
        (
            ("> " if trial.codec == report.chosen else "  ") + trial.codec,
            bytes_text(trial.packed_bytes),
            ratio_text(trial.ratio),
            micros(trial.encode_us_per_row),
            micros(trial.draw_us_per_row),
        )
        for trial in report.trials
    ]
    columns = ("Codec", "Packed", "Smaller", "Pack a row", "Draw a row")
    return (
        Verdict(f"{report.chosen} for {report.rows:,} records of {report.record_bytes:,} bytes"),
        Table("Tried", columns, rows),
    )


def micros(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f} µs"
