"""The steps that bring the tables of the node to the form this program knows."""

SCRIPTS = "edocnode.storage:migrations"  # package:folder
HEAD = "0001"  # newest step; a test compares it with the files
