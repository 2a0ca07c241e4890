"""One base in memory, any number of adapters."""
