"""The `saft` command, which puts the parts together and runs them."""
