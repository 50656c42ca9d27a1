"""Git for workspaces: always in the sandbox, for a repository may ask it to run things."""
