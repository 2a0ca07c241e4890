"""What `make bench-serve` measures, one module a kind of figure."""
