"""A scripted model on loopback, which real agent programs take for their provider.

It speaks OpenAI's chat completions and responses, Anthropic's messages and Gemini's generateContent, as a stream where
that is asked for. What it answers depends on words in the prompt, and on the server's `weather`:

    (model: c 4)                file calc/c.py is to return its argument times 4: the model calls a shell tool that
                                asks agentctl for its prompt and writes the file, then one that commits, and ends
    (model: c 4, wrong first)   the same, but wrong until the prompt tells of a rejection

The answer follows from the request alone: how many answers the model gave since the prompt says which one is next. So any
number of programs can ask at once. The weather can be changed at any time, and holds for all requests from then on.
"""

from __future__ import annotations

import http.server
import json
import re
import select
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
MODEL = "fake-model"


@dataclass(frozen=True)
class Weather:
    """How the provider is."""

    status: int = 200
    """What every request is answered with."""
    retry_after: int = 0
    hangs: bool = False
    """True if each answer begins and then stops, with the connection left open."""
    half: bool = False
    """True if the model writes half a file first, and the answer after that is `status`."""
    committed: bool = False
    """True if it commits that half at once."""


WELL = Weather()
REFUSED = Weather(401)
TROUBLE = Weather(500)
HANGS = Weather(hangs=True)
HALF = Weather(401, half=True)
HALF_COMMITTED = Weather(401, half=True, committed=True)


def limited(seconds: int) -> Weather:
    return Weather(429, retry_after=seconds)


@dataclass(frozen=True)
class Call:
    """A call of a tool by the model."""

    tool: str
    arguments: Json


@dataclass(frozen=True)
class Asked:
    """What a request says, whatever its dialect."""

    words: str
    """All text of the request."""
    prompt: str
    """The newest message that holds words for the model; empty if none does."""
    answers: int
    """How many answers the model gave after it."""
    tools: dict[str, Json]
    """The schema of each tool's arguments."""
    stream: bool


# What the model does.

WORDS = re.compile(r"\(model: (\w+) (\d+)(, wrong first)?\)")
REJECTED = "Your last attempt was rejected"
SHELL = re.compile(r"(?i)bash|shell|sh|terminal|exec_command|shell_command|run_shell_command|execute_command|run_commands?")
ENDS = ("submit_and_exit", "attempt_completion")
"""Tools by which a model must say that it is done, where a program has one."""
MAGIC = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
"""The line by which a model must say that it is done, where a program asks for it."""


def body(name: str, right: str) -> str:
    return f"def {name}(x):\n    return {right}\n"


def answer(asked: Asked, weather: Weather) -> str | Call:
    """Return what the model says or does next."""
    found = WORDS.search(asked.prompt)
    if not asked.tools and re.search("(?i)commit message", asked.words):
        return "feat: change what it returns"
    if not found:
        return "ok"
    name, factor = found[1], found[2]
    wrong = bool(found[3]) and REJECTED not in asked.prompt
    to = "x + 1" if wrong else f"x * {factor}"
    shell = next((tool for tool in asked.tools if SHELL.fullmatch(tool)), None)
    if not shell:
        return _edit(name, "x *" if weather.half else to)
    does = "add one" if wrong else f"multiply by {factor}"
    text = f"def {name}(x):" if weather.half else body(name, to)
    write = f"agentctl prime >/dev/null && printf '{text.encode('unicode_escape').decode()}' > calc/{name}.py"
    commit = f"git add calc && git commit -q -m '{name}: {does}'"
    commands = (f"{write} && {commit}" if weather.committed else write, commit)
    if asked.answers < len(commands):
        return Call(shell, _filled(asked.tools[shell], commands[asked.answers]))
    if MAGIC in asked.words:
        return Call(shell, _filled(asked.tools[shell], f"echo {MAGIC}"))
    end = next((tool for tool in ENDS if tool in asked.tools), None)
    return Call(end, _filled(asked.tools[end], "")) if end else f"I changed {name}() as asked, and committed it."


def _edit(name: str, to: str) -> str:
    """Return the answer for a program without tools, which reads edits from the text."""
    block = f"<<<<<<< SEARCH\n    return x\n=======\n    return {to}\n>>>>>>> REPLACE"
    return f"I change {name}().\n\ncalc/{name}.py\n```python\n{block}\n```\n"


def _filled(schema: Json, command: str) -> Json:
    """Return arguments that satisfy a tool's schema, with the command in the one that is meant for it."""
    known, found = schema.get("properties", {}), {}
    for key in ("command", "cmd", "commands", "script"):
        if command and key in known:
            listed = "array" in json.dumps(known[key].get("type", known[key])).lower()
            found[key] = [command] if listed else command
            break
    plain: Json = {"boolean": False, "integer": 60, "number": 60, "array": [], "object": {}}
    for key in schema.get("required", []):
        kind = known.get(key, {})
        found.setdefault(key, (kind.get("enum") or [plain.get(str(kind.get("type")).lower(), "It is done as asked.")])[0])
    return found


# What providers speak: reading a request, and writing an answer whole or as events.


def _text(part: Any) -> str:
    if isinstance(part, list):
        return "\n".join(_text(one) for one in part)
    if isinstance(part, dict):
        return _text(part.get("text") or part.get("content") or part.get("parts") or part.get("input") or "")
    return part if isinstance(part, str) else ""


def _asked(request: Json, messages: list[Json], tools: dict[str, Json], stream: bool) -> Asked:
    prompt, answers = "", 0
    for message in messages:
        said = _text(message)
        if message.get("role") == "user" and WORDS.search(said):
            prompt, answers = said, 0
        elif message.get("role") in ("assistant", "model") or message.get("type") == "function_call":
            answers += 1
    return Asked(json.dumps(request), prompt, answers, tools, stream)


def _id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex[:12]}"


def read_chat(request: Json, path: str) -> Asked:
    functions = [tool["function"] for tool in request.get("tools") or []]
    tools = {one["name"]: one.get("parameters") or {} for one in functions}
    return _asked(request, request["messages"], tools, bool(request.get("stream")))


def write_chat(said: str | Call, size: int) -> tuple[Json, list[Json | str]]:
    head = {"id": _id("chatcmpl"), "created": int(time.time()), "model": MODEL}
    usage = {"prompt_tokens": size, "completion_tokens": 20, "total_tokens": size + 20}
    message: Json = {"role": "assistant", "content": said if isinstance(said, str) else ""}
    if isinstance(said, Call):
        function = {"name": said.tool, "arguments": json.dumps(said.arguments)}
        message["tool_calls"] = [{"index": 0, "id": _id("call"), "type": "function", "function": function}]
    finish = "stop" if isinstance(said, str) else "tool_calls"
    whole = {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}
    chunk = head | {"object": "chat.completion.chunk"}
    return head | whole, [
        chunk | {"choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage},
        "[DONE]",
    ]


def read_responses(request: Json, path: str) -> Asked:
    given = request["input"]
    messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
    tools = {tool["name"]: tool.get("parameters") or {} for tool in request.get("tools") or [] if "name" in tool}
    return _asked(request, messages, tools, bool(request.get("stream")))


def write_responses(said: str | Call, size: int) -> tuple[Json, list[Json | str]]:
    if isinstance(said, Call):
        item: Json = {"type": "function_call", "id": _id("fc"), "call_id": _id("call"), "name": said.tool}
        item |= {"arguments": json.dumps(said.arguments), "status": "completed"}
        delta: Json = {"type": "response.function_call_arguments.delta", "delta": item["arguments"]}
    else:
        content = [{"type": "output_text", "text": said, "annotations": []}]
        item = {"type": "message", "id": _id("msg"), "role": "assistant", "status": "completed", "content": content}
        delta = {"type": "response.output_text.delta", "content_index": 0, "delta": said}
    usage = {"input_tokens": size, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 20}
    usage |= {"output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": size + 20}
    whole: Json = {"id": _id("resp"), "object": "response", "created_at": int(time.time()), "model": MODEL, "output": [item]}
    whole |= {"status": "completed", "parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "usage": usage}
    begun = item | {"status": "in_progress"} | ({"arguments": ""} if isinstance(said, Call) else {"content": []})
    events: list[Json] = [
        {"type": "response.created", "response": whole | {"status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        delta | {"output_index": 0, "item_id": item["id"]},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    return whole, [event | {"sequence_number": n} for n, event in enumerate(events)]


def read_messages(request: Json, path: str) -> Asked:
    tools = {tool["name"]: tool.get("input_schema", {}) for tool in request.get("tools") or []}
    return _asked(request, request["messages"], tools, bool(request.get("stream")))


def write_messages(said: str | Call, size: int) -> tuple[Json, list[Json | str]]:
    if isinstance(said, Call):
        block: Json = {"type": "tool_use", "id": _id("toolu"), "name": said.tool, "input": said.arguments}
        begun: Json = block | {"input": {}}
        delta: Json = {"type": "input_json_delta", "partial_json": json.dumps(said.arguments)}
    else:
        block, begun, delta = {"type": "text", "text": said}, {"type": "text", "text": ""}, {"type": "text_delta", "text": said}
    head: Json = {"id": _id("msg"), "type": "message", "role": "assistant", "model": MODEL, "stop_sequence": None}
    stop = "tool_use" if isinstance(said, Call) else "end_turn"
    first = head | {"content": [], "stop_reason": None, "usage": {"input_tokens": size, "output_tokens": 1}}
    whole = head | {"content": [block], "stop_reason": stop, "usage": {"input_tokens": size, "output_tokens": 20}}
    return whole, [
        {"type": "message_start", "message": first},
        {"type": "content_block_start", "index": 0, "content_block": begun},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 20}},
        {"type": "message_stop"},
    ]


def read_gemini(request: Json, path: str) -> Asked:
    declared = [one for tool in request.get("tools") or [] for one in tool.get("functionDeclarations", [])]
    tools = {one["name"]: one.get("parametersJsonSchema") or one.get("parameters") or {} for one in declared}
    return _asked(request, request.get("contents", []), tools, "stream" in path)


def write_gemini(said: str | Call, size: int) -> tuple[Json, list[Json | str]]:
    part: Json = {"text": said} if isinstance(said, str) else {"functionCall": {"name": said.tool, "args": said.arguments}}
    usage = {"promptTokenCount": size, "candidatesTokenCount": 20, "totalTokenCount": size + 20}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    whole: Json = {"candidates": [candidate], "modelVersion": MODEL, "usageMetadata": usage}
    return whole, [whole]


@dataclass(frozen=True)
class Dialect:
    read: Callable[[Json, str], Asked]
    write: Callable[[str | Call, int], tuple[Json, list[Json | str]]]
    error: Callable[[Weather], Json]


def _error_of_openai(weather: Weather) -> Json:
    message, kind, code = {
        401: (
            "Incorrect API key provided: fake. You can find your API key at https://platform.openai.com/account/api-keys.",
            "invalid_request_error",
            "invalid_api_key",
        ),
        429: (
            "Rate limit reached for fake-model in organization org-fake on requests per min (RPM): Limit 3, Used 3, "
            f"Requested 1. Please try again in {weather.retry_after}s.",
            "requests",
            "rate_limit_exceeded",
        ),
        500: ("The server had an error while processing your request. Sorry about that!", "server_error", None),
    }[weather.status]
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _error_of_anthropic(weather: Weather) -> Json:
    kind, message = {
        401: ("authentication_error", "invalid x-api-key"),
        429: ("rate_limit_error", "This request would exceed your organization's rate limit of 50 requests per minute."),
        500: ("api_error", "Internal server error"),
    }[weather.status]
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": _id("req")}


def _error_of_gemini(weather: Weather) -> Json:
    kind, message = {
        401: ("UNAUTHENTICATED", "API key not valid. Please pass a valid API key."),
        429: ("RESOURCE_EXHAUSTED", f"Resource has been exhausted (e.g. check quota). Please retry in {weather.retry_after}s."),
        500: ("INTERNAL", "An internal error has occurred. Please retry."),
    }[weather.status]
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{weather.retry_after}s"}
    details = [retry] if weather.retry_after else []
    return {"error": {"code": weather.status, "message": message, "status": kind, "details": details}}


DIALECTS: tuple[tuple[str, Dialect], ...] = (
    (r"/chat/completions$", Dialect(read_chat, write_chat, _error_of_openai)),
    (r"/responses$", Dialect(read_responses, write_responses, _error_of_openai)),
    (r"/messages$", Dialect(read_messages, write_messages, _error_of_anthropic)),
    (r":(stream)?[gG]enerateContent$", Dialect(read_gemini, write_gemini, _error_of_gemini)),
)


# The server.


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Listener

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._whole(200, {})

    def do_GET(self) -> None:
        one = {"id": MODEL, "object": "model", "created": 0, "owned_by": "nobody", "context_length": 200_000}
        self._whole(200, {"object": "list", "data": [one]})

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0]
        size = len(data) // 4
        if path.endswith(("count_tokens", ":countTokens")):
            return self._whole(200, {"input_tokens": size, "totalTokens": size})
        dialect = next((one for pattern, one in DIALECTS if re.search(pattern, path)), None)
        if not dialect:
            return self._whole(404, {"error": {"message": f"there is nothing at {path}"}})
        weather = self.server.model.weather
        asked = dialect.read(json.loads(data), path)
        begins = weather.half and asked.answers == 0 and bool(asked.prompt)
        if weather.status != 200 and not begins:
            self.server.model.count(weather.status)
            return self._whole(weather.status, dialect.error(weather), weather.retry_after)
        self.server.model.count(200)
        self.server.model.hear(asked.words)
        said = "I begin with a look at the file, and then" if weather.hangs else answer(asked, weather)
        whole, events = dialect.write(said, size)
        if asked.stream:
            self._events(events, hangs=weather.hangs)
        else:
            self._whole(200, whole, hangs=weather.hangs)

    def _whole(self, status: int, answer: Json, retry_after: int = 0, hangs: bool = False) -> None:
        data = json.dumps(answer).encode()
        extra = {"retry-after": str(retry_after)} if retry_after else {}
        self._head(status, "application/json", extra | {"content-length": str(len(data))})
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if hangs else data)
        if hangs:
            self._hang()

    def _events(self, events: list[Json | str], hangs: bool) -> None:
        self._head(200, "text/event-stream", {})
        for event in events[: max(1, len(events) // 2)] if hangs else events:
            named = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
            said = event if isinstance(event, str) else json.dumps(event)
            # Of an answer that is a single event one half is sent, without an end.
            whole = f"{named}data: {said}\n\n"
            self.wfile.write((whole[: len(whole) // 2] if hangs and len(events) == 1 else whole).encode())
            self.wfile.flush()
        if hangs:
            self._hang()

    def _head(self, status: int, kind: str, more: dict[str, str]) -> None:
        self.send_response(status)
        # One request for a connection, so that no program talks to a server that was shut down.
        for name, value in {"content-type": kind, "connection": "close", **more}.items():
            self.send_header(name, value)
        self.end_headers()

    def _hang(self) -> None:
        """Keep the connection open without a word until the other side or the server closes it."""
        self.wfile.flush()
        while not self.server.closed.is_set():
            if select.select([self.connection], [], [], 0.2)[0] and not self.connection.recv(4096):
                return


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, model: ModelServer, port: int) -> None:
        self.model = model
        self.closed = threading.Event()
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a program that went away in the middle."""


class ModelServer:
    """The model and its place: the port stays the same when the server is shut down and opened again."""

    def __init__(self, weather: Weather = WELL) -> None:
        self.weather = weather
        self.answered: Counter[int] = Counter()
        """How many requests were answered with each status."""
        self.word = ""
        self.heard = 0
        """How many requests had `word` in them, if there is one."""
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        self.port = 0
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> int:
        return self.answered.total()

    def count(self, status: int) -> None:
        with self._lock:
            self.answered[status] += 1

    def hear(self, words: str) -> None:
        with self._lock:
            self.heard += bool(self.word) and self.word in words

    def open(self) -> None:
        if self._listener is None:
            self._listener = Listener(self, self.port)
            self.port = self._listener.server_port
            threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Shut down: nobody listens at the port until the server is opened again."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            listener.closed.set()
            listener.shutdown()
            listener.server_close()

    def __enter__(self) -> ModelServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
