"""Information flow: two runs that differ only in what one label must not see, and that label's view of both."""
