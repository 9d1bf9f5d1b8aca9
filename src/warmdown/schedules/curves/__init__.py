"""One move each: from a start to an end once, or falling without end."""
