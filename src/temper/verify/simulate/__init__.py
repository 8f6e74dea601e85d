"""Simulation (level 3): the host that serves, on a clock, a disk and tools that one seed decides."""
