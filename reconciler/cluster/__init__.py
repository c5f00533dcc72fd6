"""The port to a Kubernetes API server, real or embedded, and the informer cache behind it."""
