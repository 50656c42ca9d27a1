"""What the operator sees: logs and metrics, as implementations of the port Observer."""
