"""Our own services in other processes, behind the same ports."""
