"""`quantize`: fewer bits. `run` is the whole command."""
