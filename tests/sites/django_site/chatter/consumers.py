"""The chat, twice: once on the event loop and once in threads."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from channels.exceptions import DenyConnection
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer


class Chat(AsyncWebsocketConsumer):
    """A room for those who have logged in."""

    async def connect(self) -> None:
        self.user, self.room = self.scope["user"], self.scope["url_route"]["kwargs"]["room"]
        self.left = ""
        if self.user.is_anonymous:
            raise DenyConnection
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()
        await self._say(f"{self.user} joined")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "/quit":
            self.left = "by quitting"
            await self.close(4000, "goodbye")
        else:
            await self._say(f"{self.user}: {text_data}")

    async def disconnect(self, code: int) -> None:
        if not self.user.is_anonymous:
            await self.channel_layer.group_discard(self.room, self.channel_name)
            await self._say(f"{self.user} left {self.left or f'with {code}'}")

    async def said(self, event: dict[str, Any]) -> None:
        await self.send(event["text"])

    async def _say(self, text: str) -> None:
        await self.channel_layer.group_send(self.room, {"type": "said", "text": text})


class SyncChat(WebsocketConsumer):
    """The same in threads."""

    def connect(self) -> None:
        self.user, self.room = self.scope["user"], "sync-" + self.scope["url_route"]["kwargs"]["room"]
        self.left = ""
        if self.user.is_anonymous:
            raise DenyConnection
        async_to_sync(self.channel_layer.group_add)(self.room, self.channel_name)
        self.accept()
        self._say(f"{self.user} joined")

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "/quit":
            self.left = "by quitting"
            self.close(4000, "goodbye")
        else:
            self._say(f"{self.user}: {text_data}")

    def disconnect(self, code: int) -> None:
        if not self.user.is_anonymous:
            async_to_sync(self.channel_layer.group_discard)(self.room, self.channel_name)
            self._say(f"{self.user} left {self.left or f'with {code}'}")

    def said(self, event: dict[str, Any]) -> None:
        self.send(event["text"])

    def _say(self, text: str) -> None:
        async_to_sync(self.channel_layer.group_send)(self.room, {"type": "said", "text": text})
