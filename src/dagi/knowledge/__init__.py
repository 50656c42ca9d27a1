"""A DAO's own facts: taken in, searched by words and by meaning side by side, quoted with their source."""
