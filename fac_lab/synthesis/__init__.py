"""Samples written for features a data set misses: two-step synthesis, and plain generation beside it."""
