"""Remove units or weights that a model can do without."""

from aitrade_cli.model.pruning.scores import Scores, importance
from aitrade_cli.model.pruning.structured import LayerCut, Pruned, prune_structured, units_of

__all__ = ["LayerCut", "Pruned", "Scores", "importance", "prune_structured", "units_of"]
