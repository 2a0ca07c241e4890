"""What the defaults of a training gain: each alone over the former ones, and all together."""
