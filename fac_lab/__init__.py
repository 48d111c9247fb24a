"""Feature Activation Coverage: what a data set leaves out of what a model could learn, and how to fill it."""

__version__ = "0.1.0"
