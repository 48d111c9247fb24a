"""Features get a summary (`explain`) and a verdict on whether they matter to a task (`relevance`).

Both also without an annotator: `probe` goes by labelled activations, `lexical` by words. `noise` makes errors that
are wanted.
"""
