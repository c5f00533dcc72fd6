"""The pure part: a view of the world in, a Plan out. No I/O, no clock, no randomness."""
