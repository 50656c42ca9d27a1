"""Turns in OpenAI's form, made of what was read of them. Never awaits."""

from dagi.message import Turn


def plain(turn: Turn) -> dict[str, object]:
    """A turn in the common part of the form: text, images, calls of tools and their results; the older words by their newer names."""
    role = {"developer": "system", "function": "tool"}.get(turn.role, turn.role)
    said: dict[str, object] = {"role": role, "content": turn.text}
    if turn.images:
        texts = [{"type": "text", "text": turn.text}] if turn.text else []
        said["content"] = [*texts, *({"type": "image_url", "image_url": {"url": url}} for url in turn.images)]
    if turn.calls:
        said["tool_calls"] = [
            {"id": call.id or call.name, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
            for call in turn.calls
        ]
    if role == "tool":
        said["tool_call_id"] = turn.call_id or turn.name
    return said
