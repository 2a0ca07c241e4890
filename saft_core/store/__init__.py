"""PostgreSQL rows and image files. Never imports torch."""
