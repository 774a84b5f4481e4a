"""The evaluation: every method on the same splits, through the same scorer, each in a process of its own."""
