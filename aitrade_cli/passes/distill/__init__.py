"""`distill`: a student learns from the model. `run` is the whole command."""
