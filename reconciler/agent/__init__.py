"""The data side: restic, dumps and reports, run in sidecars and Jobs."""
