"""Workspaces: a DAO's directories of files, each with a quota and a history."""
