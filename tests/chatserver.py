"""A chat-completions endpoint on a loopback port, which misbehaves as it is told, and keeps count of what it billed."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Trouble = Literal[
    "429", "500", "hang", "broken", "truncated", "wrong count", "out of range", "refusal", "not json", "half a body"
]
Script = Callable[[int, list[dict[str, Any]]], Trouble | None]
"""(number of the call from 0, its items) to what goes wrong with it."""
HANG = 30.0


def score_of(text: str) -> float:
    """What the endpoint thinks of an item, whatever the request: so that no score can be invented unnoticed."""
    return sum(map(ord, text)) % 101 / 100


class ChatServer:
    """What it saw and billed. An item is billed when a valid answer on it was sent; a replay by Idempotency-Key is not."""

    def __init__(self, script: Script | None = None, delay: float = 0.0) -> None:
        self.script, self.delay = script, delay
        self.url = ""
        self.lock = threading.Lock()
        self.calls: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.troubles: Counter[str] = Counter()
        self.billed: Counter[tuple[str, str]] = Counter()
        """How often a valid answer on (request, item text) was paid for."""
        self.most_at_once = self.at_once = self.tokens_in = self.tokens_out = 0
        self.replays: dict[str, bytes] = {}
        self.released = threading.Event()

    @contextmanager
    def serve(self) -> Iterator["ChatServer"]:
        """Serves at `url`, on a free port."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            self.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
            yield self
        finally:
            self.released.set()
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.lock:
                number = len(server.calls)
                server.calls.append(body)
                server.times.append(time.monotonic())
                server.at_once += 1
                server.most_at_once = max(server.most_at_once, server.at_once)
            try:
                self._answer(number, body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # who asked is gone
            finally:
                with server.lock:
                    server.at_once -= 1

        def _answer(self, number: int, body: dict[str, Any]) -> None:
            asked = json.loads(body["messages"][1]["content"])
            key = self.headers["Idempotency-Key"]
            with server.lock:
                replay = server.replays.get(key)
            if replay is not None:
                return self._send(200, replay)
            trouble = server.script(number, asked["items"]) if server.script else None
            if trouble:
                with server.lock:
                    server.troubles[trouble] += 1
            time.sleep(server.delay)
            if trouble == "429":
                return self._send(429, b'{"error": {"message": "slow down"}}', {"Retry-After": "0.2"})
            if trouble == "500":
                return self._send(500, b"<html>oops</html>", {"Content-Type": "text/html"})
            if trouble == "hang":
                server.released.wait(HANG)
                return None
            if trouble == "broken":
                self.close_connection = True
                return None
            content, valid = _content(asked, trouble)
            message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
            if trouble == "refusal":
                message |= {"content": None, "refusal": "I cannot help with that."}
            answer = {
                "id": f"c{number}", "object": "chat.completion", "created": 0, "model": body["model"],
                "choices": [{"index": 0, "message": message, "logprobs": None,
                             "finish_reason": "length" if trouble == "truncated" else "stop"}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
            }  # fmt: skip
            sent = json.dumps(answer).encode()
            if trouble == "half a body":
                return self._send(200, sent[: len(sent) // 2])
            # Billed before it is sent, as endpoints do: who is killed while it travels has paid.
            with server.lock:
                server.replays[key] = sent
                server.tokens_in += 100
                server.tokens_out += 10
                server.billed.update((asked.get("request", asked.get("kind")), text) for text in valid)
            return self._send(200, sent)

        def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _content(asked: dict[str, Any], trouble: str | None) -> tuple[str, list[str]]:
    """(the answer, the texts of the items on which it says something valid)."""
    if trouble == "not json":
        return "Certainly! Here are the scores you wanted.", []
    if trouble == "refusal":
        return "", []
    items = asked["items"]
    if "request" not in items[0]:
        entries = [{"item": item["item"], "score": score_of(item["text"])} for item in items]
        name, texts = "scores", [item["text"] for item in items]
    else:
        entries = [
            {"item": item["item"], "texts": [f"{item['request']} in way {way}" for way in range(3)]} for item in items
        ]
        name, texts = "requests", [item["request"] for item in items]
    if trouble == "wrong count":
        entries, texts = [*entries[:-1], {**entries[-1], "item": len(items) + 1}], texts[:-1]
    if trouble == "out of range":
        entries[0] = {"item": 1, "score": 1.5}
        texts = texts[1:]
    content = json.dumps({name: entries})
    if trouble == "truncated":
        kept = len(items) // 2
        content = content[: content.index(json.dumps(entries[kept])) + 8]
        texts = texts[:kept]
    return content, texts
