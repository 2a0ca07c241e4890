"""The `saft` command: where the parts are put together."""
