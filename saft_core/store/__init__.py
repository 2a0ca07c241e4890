"""PostgreSQL rows, image files, and messages to workers. Never imports torch."""
