"""Pictures of the page for README and docs, made by using it."""
