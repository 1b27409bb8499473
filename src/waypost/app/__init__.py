"""Builds, wires, starts, stops; the only place that makes things, and the only one with threads, sockets and a clock."""
