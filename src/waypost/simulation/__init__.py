"""Seeded runs of the real workflows on virtual time, with faults; what must always hold is checked after every step."""
