"""Pictures: the right kind of bytes, nothing half-written, and matplotlib only when drawn."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from aitrade_cli.errors import BadInput
from aitrade_cli.report.plot import Bars, Curve, Figure, Panel, UnknownPlot, check_plot, save_plot

FIGURE = Figure(
    title="Latency <b>& more</b>",
    panels=(
        Panel(
            "Batch 1",
            Bars(("eager", "cost $5 and $6"), (100.0, 50.0), (95.0, 48.0), (110.0, 52.0)),
            "µs",
            log="x",
        ),
        Panel(
            "Equity",
            (
                Curve("before", (1, 2, 3), (1.0, 1.1, 1.2), (0.9, 1.0, 1.1), (1.1, 1.2, 1.3)),
                Curve("after", (1, 2, 3), (1.0, 1.0, 1.3), style="points"),
            ),
            "bar",
            "equity",
            log="y",
            marks=((2.0, "training ends"),),
        ),
    ),
    notes=("1 thread, 3,000 runs",),
)


def test_a_png_is_a_png(tmp_path: Path) -> None:
    save_plot(str(tmp_path / "plot.png"), FIGURE)
    data = (tmp_path / "plot.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width = int.from_bytes(data[16:20], "big")
    assert width > 800


def test_an_svg_is_well_formed_and_the_same_every_time(tmp_path: Path) -> None:
    save_plot(str(tmp_path / "a.svg"), FIGURE)
    save_plot(str(tmp_path / "b.SVG"), FIGURE)
    root = ET.parse(tmp_path / "a.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.SVG").read_bytes()


def test_a_page_holds_the_drawing_and_escapes_the_title(tmp_path: Path) -> None:
    save_plot(str(tmp_path / "plot.html"), FIGURE)
    text = (tmp_path / "plot.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<title>Latency &lt;b&gt;&amp; more&lt;/b&gt;</title>" in text
    assert text.count("<svg") == 1
    assert "<?xml" not in text


@pytest.mark.parametrize("name", ["plot.pdf", "plot", "plot.png.gz", ".png/"])
def test_an_unknown_ending_is_a_mistake_of_usage(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownPlot) as caught:
        save_plot(str(tmp_path / name), FIGURE)
    assert caught.value.exit_code == 2
    assert "`.svg`" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_seen_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="folder is not there"):
        check_plot(str(tmp_path / "missing" / "plot.png"))


def test_no_plot_asked_for_is_fine() -> None:
    check_plot(None)


def test_an_old_plot_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "plot.svg"
    target.write_text("old", encoding="utf-8")
    save_plot(str(target), FIGURE)
    assert target.read_bytes().startswith(b"<?xml")


def test_importing_the_module_loads_no_matplotlib() -> None:
    probe = "import sys, aitrade_cli.report.plot; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
