"""Test runs: a workspace's own tests, told one by one."""
