"""crawl2chat: from raw web crawl, Wikipedia dumps and books to a language model that chats, on Ray."""

__version__ = "0.1.0"
