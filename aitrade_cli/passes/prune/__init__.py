"""`prune`: fewer units, or zeros. `run` is the whole command."""
