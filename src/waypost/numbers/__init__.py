"""The life of a number: added, registered, paused, restricted, recovered; templates and media of the number."""
