"""What the Pulumi stacks are made of; needs the extra `pulumi`."""
