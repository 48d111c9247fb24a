"""People judge features and samples, blind: a sheet of items, each rater's answers, and how far raters agree."""
