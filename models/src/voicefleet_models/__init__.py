"""Gateways to the machine's speech and language models: one of each for all clients.

Each is a process that serves HTTP/1.1 on a Unix socket, with a token per client. By hand:

    head -c 32 /dev/urandom | base64 > /tmp/x/key
    python -m voicefleet_models stt --socket /tmp/x/stt.sock --secret-file /tmp/x/key &
    python -m voicefleet_models tts --socket /tmp/x/tts.sock --secret-file /tmp/x/key &
    python -m voicefleet_models token --secret-file /tmp/x/key vc-somebody > /tmp/x/token

    curl --unix-socket /tmp/x/tts.sock -H "Authorization: Bearer $(cat /tmp/x/token)" \\
        -d '{"text": "Good morning."}' http://models/v1/speech > answer.pcm
    curl --unix-socket /tmp/x/stt.sock -H "Authorization: Bearer $(cat /tmp/x/token)" \\
        -H "Content-Type: audio/l16;rate=16000" --data-binary @question.pcm \\
        http://models/v1/transcriptions

Requests wait for their client's turn: clients take turns, and within a client the nearest deadline
(`Voicefleet-Deadline-Ms`) is first. A closed connection takes its request back. Answers other
than 200 are `{"error": {"message": …}}`: 400 what to change, 401 no valid token, 413 too large,
429 too many requests of this client under way (`Retry-After`), 503 not loaded, or not in time.
"""
