"""Waypost: a self-hosted WhatsApp gateway that owns delivery, consent, evidence and operations."""

__version__ = "0.1.0"
