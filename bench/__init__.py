"""The bench: what the service costs, beside raw SQL and other programs that upsert over HTTP. `make bench` runs it."""
