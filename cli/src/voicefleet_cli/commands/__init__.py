"""The command line's words, in groups; what a command does stands in a module of its own name."""
