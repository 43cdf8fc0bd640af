"""The resource ShuffleJob: models of its spec and status, validation, the CRD and the reference made from them."""
