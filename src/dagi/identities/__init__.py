"""Proofs that two accounts are one person's: codes, wallets' signatures, Telegram's hashes, Discord's OAuth2.

| file | what it holds |
| --- | --- |
| `linking` | the ways to link, from the first step to the confirmation |
| `wallets` | Sign-In with Ethereum: challenge and signature, of plain accounts and of contracts |
| `discord` | the two requests of OAuth2 |
| `recovery` | whose a signature is |
"""
