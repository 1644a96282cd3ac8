"""From torch to ONNX: two exporters are tried, and the one whose graph is right is kept."""

from aitrade_cli.model.export.choose import ExportFailed, export_onnx
from aitrade_cli.model.export.report import ExporterTrial, ExportReport, ShapeTrial

__all__ = ["ExportFailed", "ExportReport", "ExporterTrial", "ShapeTrial", "export_onnx"]
