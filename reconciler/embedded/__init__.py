"""A Kubernetes API server in memory, its controllers and its nodes."""
