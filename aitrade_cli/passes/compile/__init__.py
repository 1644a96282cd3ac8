"""`compile`: the fastest compiler that trades the same. `run` is the whole command."""
