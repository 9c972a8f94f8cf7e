"""The Flask application that stands beside Django, below /flask."""

import hashlib
import threading
import time
from collections.abc import Iterator

from flask import Flask, Response, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

flask_application = Flask(__name__, template_folder="flask_templates", static_folder=None)

MOST_NUMBERS = 1000


@flask_application.get("/")
def index() -> str:
    """What there is."""
    return render_template("index.html", thread=threading.current_thread().name)


@flask_application.get("/json")
def as_json() -> Response:
    """The request, as the application sees it."""
    return jsonify(
        method=request.method,
        url=request.url,
        mounted_at=request.environ["SCRIPT_NAME"],
        path=request.environ["PATH_INFO"],
        headers=dict(request.headers),
        thread=threading.current_thread().name,
    )


@flask_application.route("/form", methods=["GET", "POST"])
def form() -> str | AnyResponse:
    """A form that greets whoever fills it in."""
    if request.method == "POST":
        return redirect(url_for("form", name=request.form.get("name", "")), code=303)
    return render_template("form.html", name=request.args.get("name"))


@flask_application.route("/upload", methods=["GET", "POST"])
def upload() -> str:
    """Takes a file, and says its length and hash without keeping it."""
    received = request.files.get("file")
    facts = None
    if received is not None:
        digest = hashlib.sha256()
        size = 0
        while block := received.stream.read(1 << 16):
            digest.update(block)
            size += len(block)
        facts = {"name": received.filename, "size": size, "sha256": digest.hexdigest()}
    return render_template("upload.html", facts=facts)


@flask_application.get("/stream")
def stream() -> Response:
    """Counts, a number at a time."""
    count = min(request.args.get("count", 10, type=int), MOST_NUMBERS)
    delay = min(request.args.get("delay", 0.2, type=float), 10.0)

    def numbers() -> Iterator[str]:
        for number in range(1, count + 1):
            yield f"{number}\n"
            time.sleep(max(delay, 0.0))

    return Response(numbers(), mimetype="text/plain")


@flask_application.get("/error")
def error() -> str:
    """Fails, and is answered by `failed`."""
    raise RuntimeError("this page always fails")


@flask_application.errorhandler(404)
def not_found(_: Exception) -> tuple[str, int]:
    """The page for paths that do not exist."""
    return render_template("problem.html", title="Not found", text="There is no such page in the Flask part."), 404


@flask_application.errorhandler(500)
def failed(_: Exception) -> tuple[str, int]:
    """The page for failures; the traceback is in the log."""
    return render_template("problem.html", title="It failed", text="As it should. The log has the traceback."), 500
