"""Counters that several processes share: scripts on a Valkey or Redis server, one round trip each.

The client library is an extra (`pip install 'dagi-stack[valkey]'`) and is imported when a server is configured.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Self, TypeVar

from dagi.errors import ConfigError, DagiError

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

CONNECTIONS: Final = 32

# KEYS, three for each holder: its slots of seconds, its tokens of the day, its money of the month.
# ARGV: 1 to count the request, then three limits for each holder, -1 where there is none.
# Returns 0 (there is room), 1 (there is none) or 2 (a sum is not there); then for each holder: requests, milliseconds until all of them
# are free and until one is, tokens, money. The server's own clock is the one all processes share; what lies ahead of it, because it
# was set back, counts as now.
_ADMIT: Final = """
local time = redis.call('TIME')
local slot = tonumber(time[1])
local now = slot + tonumber(time[2]) / 1000000
local refused, unknown, told = false, false, {0}
for i = 1, #KEYS / 3 do
  local rpm, tokens, money = tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 1])
  local count, reset, retry = 0, 0, 0
  if rpm >= 0 then
    local key, slots = KEYS[i * 3 - 2], {}
    local fields = redis.call('HGETALL', key)
    for j = 1, #fields, 2 do
      local at, requests = tonumber(fields[j]), tonumber(fields[j + 1])
      if at < slot - 60 then
        redis.call('HDEL', key, fields[j])
      else
        if at > slot then
          redis.call('HDEL', key, fields[j])
          redis.call('HINCRBY', key, slot, requests)
          at = slot
        end
        slots[#slots + 1] = {at, requests}
        count = count + requests
        reset = math.max(reset, at + 61 - now)
      end
    end
    if count >= rpm then
      refused = true
      table.sort(slots, function(a, b) return a[1] < b[1] end)
      local surplus = count - rpm + 1
      retry = 61
      for _, one in ipairs(slots) do
        surplus = surplus - one[2]
        if surplus <= 0 then
          retry = one[1] + 61 - now
          break
        end
      end
    end
  end
  local used, spent = -1, -1
  if tokens >= 0 then
    used = tonumber(redis.call('GET', KEYS[i * 3 - 1]) or -1)
    unknown = unknown or used < 0
    refused = refused or used >= tokens
  end
  if money >= 0 then
    spent = tonumber(redis.call('GET', KEYS[i * 3]) or -1)
    unknown = unknown or spent < 0
    refused = refused or spent >= money
  end
  for _, value in ipairs({count, math.ceil(reset * 1000), math.ceil(retry * 1000), used, spent}) do
    told[#told + 1] = value
  end
end
if unknown then
  told[1] = 2
elseif refused then
  told[1] = 1
elseif ARGV[1] == '1' then
  for i = 1, #KEYS / 3 do
    if tonumber(ARGV[i * 3 - 1]) >= 0 then
      redis.call('HINCRBY', KEYS[i * 3 - 2], slot, 1)
      redis.call('EXPIRE', KEYS[i * 3 - 2], 62)
    end
  end
end
return told
"""

# Adds to sums that are there; one that is not there is read from the database when it is needed.
_ADD: Final = """
for i, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then
    redis.call('INCRBY', key, ARGV[i])
  end
end
return {#KEYS}
"""

# Raises sums to what the database knows; never lowers one. ARGV: for each key the sum, and the seconds it is kept.
_RAISE: Final = """
for i, key in ipairs(KEYS) do
  local there = redis.call('GET', key)
  if not there or tonumber(there) < tonumber(ARGV[i * 2 - 1]) then
    redis.call('SET', key, ARGV[i * 2 - 1], 'EX', ARGV[i * 2])
  end
end
return {#KEYS}
"""

_Run = Callable[[Sequence[str], Sequence[str | int]], Awaitable[list[int]]]


class CountersDown(DagiError):
    """The server of shared counters did not answer, or not in time."""

    code = "INTERNAL"


class Valkey:
    """A connection to the server. Every call either answers within the time or raises `CountersDown`.

    Args:
        url: `redis://`, `rediss://` or `unix://`; it may hold a password, so it is never shown.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        try:
            import redis.asyncio  # noqa: PLC0415 - an extra
            from redis.exceptions import RedisError  # noqa: PLC0415
        except ImportError as error:
            raise ConfigError("needs the client library: pip install 'dagi-stack[valkey]'") from error
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
            max_connections=CONNECTIONS,
            timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            socket_timeout=timeout_s,
            protocol=2,
        )
        self._client: Redis = redis.asyncio.Redis.from_pool(pool)
        self._errors = (RedisError, OSError, TimeoutError)
        self._timeout_s = timeout_s
        self.admit = self._script(_ADMIT)
        self.add = self._script(_ADD)
        self.raise_to = self._script(_RAISE)

    def _script(self, text: str) -> _Run:
        script = self._client.register_script(text)

        async def run(keys: Sequence[str], arguments: Sequence[str | int]) -> list[int]:
            return await self._in_time(script(keys=list(keys), args=list(arguments)))

        return run

    async def ping(self) -> None:
        """Make sure that it answers.

        Raises:
            CountersDown: it does not.
        """
        await self._in_time(self._client.ping())

    async def _in_time(self, asked: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asked
        except self._errors as error:
            why = " ".join(str(error).split())[:200] or f"no answer within {self._timeout_s * 1000:g} ms"
            raise CountersDown(f"{type(error).__name__}: {why}") from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
