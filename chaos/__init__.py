"""Chaos: kill the service and its databases under load, and check the books. `make chaos` runs it."""
