"""The edocnode command: one file per noun; talks to people, decides nothing."""
