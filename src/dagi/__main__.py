"""`python -m dagi`, and the command `dagi`."""

import sys


def main() -> None:
    """Run a command, or be one of the stack's own processes."""
    if sys.argv[1:2] == ["_process"]:
        from dagi.assemble.processes import run  # noqa: PLC0415 - a process does not load the command line

        sys.exit(run(sys.argv[2:]))
    try:
        from dagi.cli import main as commands  # noqa: PLC0415 - and the other way round

        commands()
    except KeyboardInterrupt:
        # Pressed while a command was still being loaded; once it runs, it answers for itself.
        sys.exit(130)


if __name__ == "__main__":
    main()
