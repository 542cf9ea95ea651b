"""What `pulumi up` runs."""

from target import program

program()
