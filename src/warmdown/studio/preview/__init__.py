"""What is shown of a plan: curves, tables, findings, texts to take away, runs to watch."""
