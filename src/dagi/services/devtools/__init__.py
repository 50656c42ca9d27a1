"""The devtools service (port 8008): tools in a DAO's workspaces, for keys and for signed grants."""
