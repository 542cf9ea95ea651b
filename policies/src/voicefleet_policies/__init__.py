"""Rules that a stack must keep before anything is bought or changed (Pulumi CrossGuard)."""
