"""A stand-alone Flask site for tests and benches: `ironbridge --chdir tests/sites/flask_site app:app`."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, abort, jsonify, redirect, request, send_file, session, url_for
from werkzeug.wrappers import Response as AnyResponse

app = Flask(__name__)
app.secret_key = "for tests only"


@app.get("/")
def index() -> str:
    """Plain text."""
    return "Flask says hello\n"


@app.get("/json")
def as_json() -> Response:
    """The benches' Flask row."""
    return jsonify(message="Hello, world!")


@app.get("/hello/<name>")
def hello(name: str) -> str:
    """A part of the path, decoded."""
    return f"Hello, {name}!"


@app.route("/request", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def seen() -> Response:
    """The request, as Flask sees it."""
    facts: dict[str, Any] = {
        "method": request.method,
        "url": request.url,
        "path": request.path,
        "query": request.args.to_dict(flat=False),
        "headers": list(request.headers),
        "remote": request.remote_addr,
        "body": request.get_data(as_text=True),
    }
    return jsonify(facts)


@app.post("/form")
def form() -> Response:
    """The fields of a form."""
    return jsonify(request.form.to_dict(flat=False))


@app.post("/json")
def take_json() -> Response:
    """The JSON of the body."""
    return jsonify(received=request.get_json())


@app.get("/visits")
def visits() -> str:
    """Counts in the session's signed cookie."""
    session["visits"] = session.get("visits", 0) + 1
    return str(session["visits"])


@app.get("/cookies")
def cookies() -> Response:
    """Sets two cookies, so two header fields of one name."""
    response = Response("two cookies")
    response.set_cookie("first", "1", httponly=True)
    response.set_cookie("second", "2", path="/cookies")
    return response


@app.get("/old")
def old() -> AnyResponse:
    """Moved."""
    return redirect(url_for("index"), code=301)


@app.post("/upload")
def upload() -> Response:
    """Length and hash of a file in a multipart form."""
    digest, size = _measure(request.files["file"].stream)
    return jsonify(name=request.files["file"].filename, size=size, sha256=digest)


@app.put("/upload")
def upload_raw() -> Response:
    """Length and hash of the body itself, read in blocks."""
    digest, size = _measure(request.stream)
    return jsonify(size=size, sha256=digest)


@app.get("/download/<int:size>")
def download(size: int) -> Response:
    """So many bytes, with support for ranges and conditions."""
    if size > 1 << 26:
        abort(400)
    body = io.BytesIO(bytes(range(256)) * (size // 256) + bytes(range(size % 256)))
    return send_file(body, mimetype="application/octet-stream", download_name="bytes.bin", etag=f"bytes-{size}")


@app.get("/source")
def source() -> Response:
    """A real file, through wsgi.file_wrapper."""
    return send_file(__file__, mimetype="text/x-python")


@app.get("/stream/<int:count>")
def stream(count: int) -> Response:
    """`count` lines, each `delay` seconds after the one before (0 unless asked)."""
    delay = request.args.get("delay", 0.0, type=float)

    def lines() -> Iterator[str]:
        for number in range(1, count + 1):
            if delay > 0 and number > 1:
                time.sleep(delay)
            yield f"line {number}\n"

    return Response(lines(), mimetype="text/plain")


@app.get("/sleep/<float:seconds>")
def sleep(seconds: float) -> str:
    """Waits."""
    time.sleep(min(seconds, 60.0))
    return "slept"


@app.get("/error")
def error() -> str:
    """An exception that Flask turns into its 500."""
    raise RuntimeError("this page always fails")


@app.get("/error/midway")
def error_midway() -> Response:
    """An exception after a part of the body has been sent."""

    def lines() -> Iterator[str]:
        yield "the first line\n"
        raise RuntimeError("the stream fails midway")

    return Response(lines(), mimetype="text/plain")


@app.get("/status/<int:code>")
def status(code: int) -> tuple[str, int]:
    """An empty answer of a given status."""
    return "", code


@app.errorhandler(404)
def not_found(_: Exception) -> tuple[Response, int]:
    """The site's own page for unknown paths."""
    return jsonify(error="not found", path=request.path), 404


def _measure(stream: Any) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    while block := stream.read(1 << 16):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size
