"""Long runs with random input. `make soak` runs them in full, the tests a sample of each."""
