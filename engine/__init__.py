"""The engine: it upserts records of any entity, given a schema, rules and a table. It knows no trade and no HTTP."""
