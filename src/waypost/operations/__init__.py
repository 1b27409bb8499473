"""Keeping an installation alive: backups, restores, and the proof that they are exact."""
