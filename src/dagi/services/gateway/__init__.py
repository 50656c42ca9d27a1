"""The gateway's face: where platforms deliver what people say."""
