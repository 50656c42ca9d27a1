"""The rbac service (port 9200): what somebody may do and why, and the administration of DAOs, members, roles, keys, invitations."""
