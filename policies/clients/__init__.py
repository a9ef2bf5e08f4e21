"""Programs that ask a broker, for the demonstrations; one of them wants more than it is given."""
