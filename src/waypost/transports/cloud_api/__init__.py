"""Meta's Cloud API: pure payloads and callbacks, a table of errors, and one file that owns the wire."""
