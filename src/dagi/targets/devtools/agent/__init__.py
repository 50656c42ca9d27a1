"""The devtools agent: a model that works in a workspace with the developer tools, step by step."""
