"""A Django project for ASGI, with Channels: sessions, forms, streams, a chat: `ironbridge chatter.asgi`."""
