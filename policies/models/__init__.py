"""What policies say: each module is one classic model, as plain code that knows no server and no kernel."""
