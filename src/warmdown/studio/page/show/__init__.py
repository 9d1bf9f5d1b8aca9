"""The side where the page shows."""
