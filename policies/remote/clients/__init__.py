"""Programs that use gateways, and some that abuse them."""
