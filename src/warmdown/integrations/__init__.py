"""Other people's trainers: one file each, which is imported where that trainer is used.

A file imports its trainer, which may take seconds; the room itself imports none, and neither does
``import warmdown``.
"""
