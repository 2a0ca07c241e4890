"""Pre-trains the small embedded CLIP base on permissively licensed icon sets, from npm packages to a checkpoint."""
