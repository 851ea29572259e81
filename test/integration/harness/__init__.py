"""Private Postfix instances and upstreams for the integration tests."""
