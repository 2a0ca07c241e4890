"""The ways in which an upload may say what its pictures show: one module each, tried in the order of `table`."""
