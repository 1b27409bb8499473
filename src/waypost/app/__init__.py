"""Builds, wires, starts, stops; the only place that makes things. Threads, sockets and the clock live here."""
