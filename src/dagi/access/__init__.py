"""May they? Pure decisions over what the store knows: deny by default, and always with the reason."""
