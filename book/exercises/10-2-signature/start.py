def verify(secret, headers, body):
    """Whether `body` (bytes) with `headers` (names in lower case) was signed with `secret`."""
    return "webhook-signature" in headers
