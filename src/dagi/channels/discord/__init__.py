"""Discord: interactions, read and answered (https://docs.discord.com/developers/interactions/receiving-and-responding)."""
