"""`train`: from bars and a recipe to an artefact. `run` is the whole command."""
