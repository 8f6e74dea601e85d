"""Temper: blueprints of operational domains, judged before they run and changed while they run.

Each package below is a room with a front door; `docs/explanation/architecture.md` is the map.
"""

__all__ = ["__version__"]

# The only place that says it: the build reads this line, so keep it a plain literal.
__version__ = "0.1.0"
