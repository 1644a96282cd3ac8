"""One run in several processes: who starts them, what they share out, and how they end."""
