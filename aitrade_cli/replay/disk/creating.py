"""Make an empty store from what was asked for on a command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from aitrade_cli.errors import Usage
from aitrade_cli.replay.disk.manifest import RAW, Packing
from aitrade_cli.replay.disk.opening import NewStore, create_store
from aitrade_cli.replay.disk.packing import codec_of
from aitrade_cli.replay.interfaces import Codec
from aitrade_cli.replay.ring import COLUMNS, LINK
from aitrade_cli.replay.schema import STATE, Field, Schema, parse_field
from aitrade_cli.report.blocks import Block, Facts, Verdict, view
from aitrade_cli.units import bytes_text

AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """One field as it is shown."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CreateReport:
    """The store that was made."""

    store: str
    capacity_rows: int
    record_bytes: int
    codec: str
    fields: tuple[FieldFacts, ...]

    JSON_PROPERTIES = ("full_size_bytes", "links_bytes")

    @property
    def full_size_bytes(self) -> int:
        """Raw records of a full store."""
        return self.capacity_rows * self.record_bytes

    @property
    def links_bytes(self) -> int:
        """Memory that whoever opens it takes beside records, full or not, however little they
        may take; with all records in memory the reward is one of them.
        """
        reward = sum(np.dtype(fact.dtype).itemsize for fact in self.fields if fact.name == "reward")
        return self.capacity_rows * (COLUMNS.itemsize + LINK.itemsize + reward)


def fields_of(obs: Sequence[str], act: str, others: Sequence[str]) -> Schema:
    """The schema of ``--obs 64:float32 --act 1:int64 --field log_prob=:float32``.

    Raises:
        Usage: a text is no field.
    """
    state = [named(text, STATE, nested=True) for text in obs]
    if not state:
        raise Usage("there is no `--obs`", hint="for example `--obs 64:float32`")
    more = [named(text, None, nested=False) for text in others]
    reward = Field("reward", "float32")
    return Schema((*state, parse_field("act", act), reward, *more))


def named(text: str, default: str | None, *, nested: bool) -> Field:
    """``position=3:float32`` under ``obs`` is the field ``obs.position``."""
    name, sign, shape = text.partition("=")
    if not sign and default is not None:
        return parse_field(default, text)
    if not sign:
        raise Usage(f"`{text}` is no NAME=SHAPE:dtype", hint="for example `log_prob=:float32`")
    return parse_field(f"{default}.{name}" if nested else name, shape)


def codec_for(name: str | None) -> Codec | None:
    """The codec of that name; None for raw.

    Raises:
        Usage: it is `auto`, and there are no rows to try it on.
        UnknownCodec: there is none of that name.
    """
    if name == AUTO:
        raise Usage(
            "`auto` tries every codec on rows, and a new store has none",
            hint=f"make the store without it, then `aitrade replay compact STORE --codec {AUTO}`",
        )
    return None if name is None or name == RAW else codec_of(Packing(name))


def create(folder: Path, schema: Schema, capacity: int, codec: Codec | None) -> CreateReport:
    """Make an empty store.

    Raises:
        ForeignFolder: something lies there.
        OSError: the folder cannot be made.
    """
    made = create_store(folder, NewStore(schema, capacity, codec))
    return CreateReport(
        str(folder),
        capacity,
        schema.record_bytes,
        made.codecs[-1].name,
        facts_of(schema),
    )


def facts_of(schema: Schema) -> tuple[FieldFacts, ...]:
    return tuple(FieldFacts(field.name, field.dtype, field.shape) for field in schema.fields)


@view.register
def _(report: CreateReport) -> Sequence[Block]:
    fields = ", ".join(f"{fact.name} {shape_text(fact)}" for fact in report.fields)
    facts = (
        ("Capacity", f"{report.capacity_rows:,} rows"),
        ("Record", f"{report.record_bytes} B: {fields}"),
        ("When full", f"{bytes_text(report.full_size_bytes)} before packing"),
        ("In memory", f"{bytes_text(report.links_bytes)} of links, beside what `--memory` says"),
        ("Packed with", report.codec),
    )
    return Verdict("Made an empty store", good=True), Facts("", (("Store", report.store), *facts))


def shape_text(fact: FieldFacts) -> str:
    return f"{'x'.join(map(str, fact.shape))}:{fact.dtype}"
