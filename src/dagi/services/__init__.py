"""The faces: HTTP in, a call of the port, HTTP out. Decode, call, encode; no decisions."""
