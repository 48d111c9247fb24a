"""Public data sets by name: where they are, how they become rows, and which of them an experiment takes."""
