"""Features get a summary (`explain`), a second look at it (`verify`) and a verdict on whether they matter to a task
(`relevance`, by a `rubric`). What labels are worth is measured (`cases`, `scores`, `agreement`), what they cost is
stated first (`cost`)."""
