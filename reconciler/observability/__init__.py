"""Structured logs, metrics and Kubernetes Events."""
