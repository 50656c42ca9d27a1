"""What a DAO decides together: proposals, their votes and how they are counted. Pure; stores, faces and fakes lean on it."""
