"""Make trading models smaller and faster, and prove that they still trade the same."""

__version__ = "0.1.0"
