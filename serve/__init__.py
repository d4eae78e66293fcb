"""An OpenAI-compatible server on Ray Serve, and the page that chats with it."""
