"""The tests: `unit` needs nothing, `property` needs time, `lab` needs root and makes the rest itself."""
