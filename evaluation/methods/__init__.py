"""The ways of adapting CLIP that are compared, one file each."""
