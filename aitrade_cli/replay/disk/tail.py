"""The end of a store that a killed writer left."""

from __future__ import annotations

import os

from aitrade_cli.replay.disk.survey import Survey


def cut_tail(seen: Survey) -> None:
    """Remove what was written and never acknowledged."""
    for segment in seen.segments:
        kept = [block for block in segment.found if block.header.end <= seen.total]
        end = kept[-1].end if kept else segment.start
        if end >= segment.size or not seen.is_tail(segment, end):
            continue
        if kept or segment.first < seen.total or segment is seen.segments[0]:
            os.truncate(segment.path, end)
        else:
            segment.path.unlink()
