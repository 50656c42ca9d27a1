"""DAGI Stack: a self-hosted AI gateway for communities run as microDAOs."""
