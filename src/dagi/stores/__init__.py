"""What is remembered: tables, migrations, and the repositories behind the ports. SQLite by default."""
