"""The whole product on a real cluster: `make e2e`. See e2e/README.md."""
