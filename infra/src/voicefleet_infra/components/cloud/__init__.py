"""The platform on Kubernetes with GPUs, one concern a component (docs/cloud.md)."""
