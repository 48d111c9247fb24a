"""Features get a summary (`explain`) and a verdict on whether they matter to a task (`relevance`)."""
