"""The formats in which an upload may give the labels of its images: one module each, tried in the order of `table`."""
