"""What one process at a time does for all that share the database: whoever holds the lease."""

from datetime import timedelta
from secrets import token_hex

from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from dagi.ports.clock import Clock
from dagi.stores.database import Database
from dagi.stores.governance_tables import lease


class Lease:
    """The lease of a job. Whoever dies with it loses it when its time is over."""

    def __init__(self, database: Database, clock: Clock, job: str) -> None:
        self._database = database
        self._clock = clock
        self._job = job
        self._holder = token_hex(16)

    async def take(self, seconds: float) -> bool:
        """Have it for so long from now on, or longer than before; False where somebody else has it.

        Raises:
            StoreError: the database cannot be written.
        """
        now = self._clock.now()
        mine = {"holder": self._holder, "until": now + timedelta(seconds=seconds)}
        free = or_(lease.c.until <= now, lease.c.holder == self._holder)
        async with self._database.write() as connection:
            taken = await connection.execute(update(lease).where(lease.c.job == self._job, free).values(**mine))
            if taken.rowcount:
                return True
            try:
                async with connection.begin_nested():
                    await connection.execute(insert(lease).values(job=self._job, **mine))
            except IntegrityError:
                return False
        return True

    async def wait_s(self) -> float:
        """For how many seconds nobody else can have it.

        Raises:
            StoreError: the database cannot be read.
        """
        async with self._database.read() as connection:
            until = await connection.scalar(select(lease.c.until).where(lease.c.job == self._job))
        return 0.0 if until is None else max(0.0, (until - self._clock.now()).total_seconds())

    async def give_back(self) -> None:
        """Let another one have it at once.

        Raises:
            StoreError: the database cannot be written.
        """
        async with self._database.write() as connection:
            mine = (lease.c.job == self._job) & (lease.c.holder == self._holder)
            await connection.execute(update(lease).where(mine).values(until=self._clock.now()))
