"""Speak one WhatsApp dialect each, so that everything above speaks none."""
