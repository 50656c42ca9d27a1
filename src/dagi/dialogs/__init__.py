"""What becomes of conversations after they were recorded."""
