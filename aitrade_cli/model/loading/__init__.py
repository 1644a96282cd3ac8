"""Reading models that someone else may have made, without running anything of theirs."""

from aitrade_cli.model.loading.load import load

__all__ = ["load"]
