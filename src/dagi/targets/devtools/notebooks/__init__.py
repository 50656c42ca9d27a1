"""Notebooks: executed in the sandbox, stored in the workspace."""
