"""Downstream tasks: train on a data set, evaluate on held-out data, one number per seed."""
