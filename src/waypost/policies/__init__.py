"""May this message go now? Pure functions of (message, facts, now); each rule a file; the order a tuple."""
