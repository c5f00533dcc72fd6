"""Pure builders of Kubernetes objects from typed specs: CronJob, sidecar, Jobs, RBAC."""
