"""Builds the embedded world in data/mini: three tiny chat models, a sparse autoencoder for each, and their report."""
