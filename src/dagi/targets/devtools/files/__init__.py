"""The tools of files: read, write, list, search, move, delete."""
