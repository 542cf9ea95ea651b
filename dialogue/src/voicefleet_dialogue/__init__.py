"""The talk with a caller, as a program."""
