"""The ``edocregistry`` command. Commands import what they need when they run: --help is instant."""
