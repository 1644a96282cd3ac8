"""What runs inside the profiled program. Standard library only: it may be another Python."""
