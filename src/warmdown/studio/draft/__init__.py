"""What a person has typed, and what becomes of it."""
