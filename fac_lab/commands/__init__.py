"""Commands of `fac-lab` that take many options: each module adds one to the command line, and runs it."""
