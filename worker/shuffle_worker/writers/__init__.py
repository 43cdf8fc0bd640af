"""Output: file formats, names, the manifest and the commit."""
