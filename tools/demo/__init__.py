"""The product's main job, driven over HTTP on the sample data."""
