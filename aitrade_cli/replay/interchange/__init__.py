"""Transitions from files and into files."""
