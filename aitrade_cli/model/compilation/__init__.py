"""Compilers: each turns an artefact into one that runs the same numbers another way."""
