"""The decisions: pure functions over frozen values, without I/O and without a clock (times are passed in)."""
