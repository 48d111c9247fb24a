"""One client for every chat model: cache, budget, failures kept; backends in process and over HTTP."""
