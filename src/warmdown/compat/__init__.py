"""Other people's names: constructors and spellings, never a formula, never a loop over groups."""
