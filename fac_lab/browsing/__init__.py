"""The model behind the browser of missing features: what it shows and does, without any widget.

Begin at `session.BrowserSession`, which gathers the rest; `opening` makes one from a lab or from an audit's folder.
"""
