"""How values that hold secrets are shown: in a log, a traceback or a debugger, nobody finds one."""

import msgspec


def shown(value: msgspec.Struct, *secret: str) -> str:
    """The value as `repr` has it, with `***` for the named fields where they hold anything."""
    fields = {name: getattr(value, name) for name in value.__struct_fields__}
    told = (f"{name}={'***' if name in secret and field else repr(field)}" for name, field in fields.items())
    return f"{type(value).__name__}({', '.join(told)})"
