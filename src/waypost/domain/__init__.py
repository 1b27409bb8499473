"""The words and rules of messaging, with no input or output: addresses, content, statuses as a table, kinds of
event, decisions, outcomes, errors."""
