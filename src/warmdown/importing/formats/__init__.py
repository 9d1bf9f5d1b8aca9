"""Readers of configuration files: one format a file."""
