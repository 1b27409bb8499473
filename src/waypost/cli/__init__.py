"""The command line: every command that touches state asks the gateway's own `/v1`, over its local socket."""

from waypost.cli.main import main

__all__ = ["main"]
