"""Features get a summary (`explain`), a second look at it (`verify`) and a verdict on whether they matter to a task
(`relevance`, by a `rubric`). Relevance also without an annotator: `probe` goes by labelled activations, `lexical` by
words. What labels are worth is measured (`cases`, `scores`, `agreement`), what they cost is stated first (`cost`), and
`noise` makes errors that are wanted.
"""
