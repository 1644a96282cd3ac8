"""How old experience is, how much of it a step wants, and what need not be computed again."""
