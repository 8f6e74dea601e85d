"""A whole system as a finite transition system, and the engines that search it.

A table's entities in a scope (so many instances of each) are lowered to a `System`: variables with finite domains, and
ground rules with guards and simultaneous updates. Engines know nothing but this.
"""
