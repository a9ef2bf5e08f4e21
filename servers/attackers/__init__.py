"""Programs that attack servers, and an honest client of the same servers who is to notice nothing of it."""
