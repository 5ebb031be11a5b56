"""The checks, one file each; a file's name is its check's name."""
