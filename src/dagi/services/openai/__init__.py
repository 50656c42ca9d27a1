"""OpenAI's API over the same router: `/v1/chat/completions`, `/v1/models` and what belongs to them."""
