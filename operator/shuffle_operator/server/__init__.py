"""The coordinator over HTTP: calls in, answers out, compression and TLS."""
