"""The guard of the page, its folder, and the process for foreign classes."""
