"""What a person uses: a terminal and a page."""
