"""Keep every callback raw, answer, then read it into events and apply them."""
