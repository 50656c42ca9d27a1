"""The developer tools: a DAO's workspaces, and code of others in a sandbox."""
