"""The pages of jobs: what is served to a browser, live and as a file."""
