"""At the terminal: what `flask` commands do for people: files that are imported, the doctor, backups."""
