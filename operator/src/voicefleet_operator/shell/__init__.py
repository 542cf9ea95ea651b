"""The kopf shell: turns watch events into keys in the queue, nothing else."""
