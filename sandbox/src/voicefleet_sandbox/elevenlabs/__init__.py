"""ElevenLabs: voices cloned from recordings, and their speech."""
