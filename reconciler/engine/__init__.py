"""The loop: clock, work queue, back-off, workers, apply, leader election, health."""
