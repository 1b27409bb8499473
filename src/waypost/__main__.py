"""`python -m waypost`: the same as the command `waypost`."""

from waypost.cli import main

main()
