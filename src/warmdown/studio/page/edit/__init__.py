"""The side where a person edits."""
