"""The ground floor: errors, web, http, processes, database and audit. Knows no feature."""
