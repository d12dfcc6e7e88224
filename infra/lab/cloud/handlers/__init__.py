"""What the lab can make: a handler for each resource type, and the engine that calls them."""
