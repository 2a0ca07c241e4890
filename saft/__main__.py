"""`python -m saft`."""

from saft.cli import main

main()
