"""The Celery worker that trains."""
