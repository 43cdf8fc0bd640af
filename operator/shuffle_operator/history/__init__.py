"""What a job's page and its report show: the document, the recorder that makes it, and the updates of a live page."""
