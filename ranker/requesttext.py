"""What the request tower reads. Training and serving both go through here, so that they cannot drift apart."""


def request_text(text: str, context: str | None) -> str:
    """The request in the reader's own words, then, where it is known, a short text of the reader's taste."""
    text = " ".join(text.split())
    return f"{text} | reader {' '.join(context.split())}" if context and context.strip() else text
