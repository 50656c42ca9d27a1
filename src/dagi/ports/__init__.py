"""What the router needs from the world, one protocol and its values a file. Adapters live in the rooms above; fakes in `dagi.testing`."""
