"""Telegram: the Bot API's updates and methods, its markup, its limits."""
