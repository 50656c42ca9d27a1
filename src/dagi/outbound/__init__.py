"""The one HTTP client of a process: the adapter of `dagi.ports.http`.

Its own pool over asyncio, with llhttp (httptools) as the parser. Of the ready-made clients that were measured, pyreqwest 0.15 keeps a
connection open when the request is cancelled before the head of the answer has come, so a model would go on working for nobody.
"""

from dagi.outbound.pool import Client

__all__ = ["Client"]
