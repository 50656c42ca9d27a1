"""Where to: routing rules, compiled once from configuration, matched in microseconds, explained one by one."""
