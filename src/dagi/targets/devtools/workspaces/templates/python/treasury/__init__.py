"""What a DAO has, and what a vote may spend."""

from treasury.accounts import Treasury

__all__ = ("Treasury",)
