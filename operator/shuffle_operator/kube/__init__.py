"""The Kubernetes API, as the operator and the commands use it."""
