"""Level 1: questions about a table that a solver answers for every value of the real types."""
