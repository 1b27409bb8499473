"""Follow the journal from a cursor and tell each subscriber, signed, in order, until it says yes."""
