"""The services of the office: schema version 1 and its generated code."""
