"""The REST interface: routes, what they share, and the JSON of both directions. It trains nothing and draws no page."""
