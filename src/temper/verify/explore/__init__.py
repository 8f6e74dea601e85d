"""Level 2: every state that one entity can get into, found by running `step` itself, nearest first."""
