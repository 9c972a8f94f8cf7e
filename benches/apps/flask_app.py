"""A Flask application with one JSON view."""

from __future__ import annotations

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue

wsgi = Flask(__name__)


@wsgi.get("/json/<int:number>")
def item(number: int) -> ResponseReturnValue:
    """Answers with a small object."""
    return jsonify(number=number, message="Hello, world!", tags=["flask", "json"])
