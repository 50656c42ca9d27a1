"""Ethereum and its kin, read over JSON-RPC. Nothing here signs or sends: the stack holds no wallet's key."""
