"""One reconciler for each kind: observe, plan, execute, write status."""
