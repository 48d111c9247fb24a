"""What a study would take before anything is loaded: downloads, memory, hours, calls, cost."""
