"""Parse, ask one function, render. No decisions."""
