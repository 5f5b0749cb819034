"""The steps that bring the tables of the registry to the form this program knows."""

SCRIPTS = "edocregistry.storage:migrations"  # package:folder
HEAD = "0001"  # newest step; a test compares it with the files
