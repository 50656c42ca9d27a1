"""Who changes something: an operator at the command line, the stack itself, or somebody over HTTP who may do just what its grant says."""

import msgspec


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who does an administrative thing, as the audit names it.

    Attributes:
        id: `cli:<os user>`, `system:<job>`, or an identity such as `tg:12345` and `key:<id>`.
        unbounded: no grant is asked for; whoever works on the data directory could change the data by hand as well.
        key_id: the key it came with. A key that speaks for others lends nobody more than it has itself.
    """

    id: str
    unbounded: bool = False
    key_id: str = ""

    @classmethod
    def operator(cls, name: str) -> "Actor":
        """Somebody with a shell on the machine; `name` is the operating system's."""
        return cls(id=f"cli:{name}", unbounded=True)

    @classmethod
    def system(cls, job: str) -> "Actor":
        """The stack, in a job of its own."""
        return cls(id=f"system:{job}", unbounded=True)
