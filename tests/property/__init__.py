"""Laws that hold for any input, found by Hypothesis."""
