"""Where code of others runs: nothing of the host to see, nobody to reach, and an end to everything."""
