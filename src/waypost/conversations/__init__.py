"""Contacts and their aliases, windows, assignment, hand-over."""
