"""Fakes of the ports, shipped for tests of ours and of plugins. Each passes its port's contract tests. Production never imports it."""
