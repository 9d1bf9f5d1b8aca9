"""What keeps the page to the person who started it: the guard, the folder, the process for foreign classes."""
