"""HTTP/1.1 under a table of endpoints: bytes from a connection in, bytes back out. RFC 9112 gives the framing; httptools parses it."""
