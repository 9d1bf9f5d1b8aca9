"""The page itself: what a person sees and touches."""
