"""Choose rows, and rebuild what a learner asked for from them."""
