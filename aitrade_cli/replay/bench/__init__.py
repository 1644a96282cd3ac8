"""Replay stores side by side on this machine."""
