"""Checkpoints: written in the background, whole or not there, and opened without running code."""
