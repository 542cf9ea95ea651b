"""What `pulumi up --policy-pack policies` starts: it serves the rules until the run has ended."""

from voicefleet_policies.pack import serve

serve()
