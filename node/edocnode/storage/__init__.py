"""The ports of the domain in SQL and files: outbox, inbox, journal, parts."""
