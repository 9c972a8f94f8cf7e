"""A FastAPI route with a Pydantic model in and out, and nothing else."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel


class Item(BaseModel):
    """What is sent and returned."""

    name: str
    price: float
    tags: list[str] = []


app = FastAPI()


@app.post("/items")
async def create(item: Item) -> Item:
    """Returns a changed item."""
    return Item(name=item.name.upper(), price=item.price * 2, tags=[*item.tags, "seen"])
