"""One fetcher: takes jobs from the schedule, fetches them, writes them to its segment, and reports what came of each.

A job is one HTTP exchange: a redirect is reported, not followed, and its target comes back as a job of its own. So each
hop passes scope, robots, politeness and the address guard like any other URL, and is stored once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from ....core.settings_data import CrawlSource
from . import robots
from .guard import AddressRefused, GuardedConnector, Lookup, peer_address, system_lookup
from .links import decoded, page_links
from .messages import Job, Orders, Report
from .urls import Scope, canonical
from .warc import Exchange, SegmentWriter

REDIRECTS = frozenset({301, 302, 303, 307, 308})
RETRIED = frozenset({408, 429, 500, 502, 503, 504})

Ask = Callable[[list[Report], int], Awaitable[Orders]]


class Fetcher:
    """Fetches up to `slots` jobs at a time. `connect_to` sends a host's connections to a given address and port."""

    def __init__(
        self,
        source: CrawlSource,
        seeds: list[str],
        segments: Path,
        slots: int,
        connect_to: Mapping[str, tuple[str, int]] | None = None,
        lookup: Lookup = system_lookup,
    ) -> None:
        self._source, self._slots, self._connect_to, self._lookup = source, slots, connect_to, lookup
        self._scope = Scope.of(source, seeds)
        self._token = robots.product_token(source.user_agent)
        self._segment = SegmentWriter(segments)

    async def run(self, ask: Ask) -> None:
        """Work until the schedule says that the crawl is over: ask(reports, free slots) hands in results, gets jobs."""
        tasks: set[asyncio.Task[Report]] = set()
        reports: list[Report] = []
        async with self._session() as session:
            while True:
                free = self._slots - len(tasks)
                orders = await ask(reports, free)
                if orders.over:
                    break
                tasks |= {asyncio.create_task(self.fetch(session, job)) for job in orders.jobs}
                if not tasks:
                    await asyncio.sleep(orders.wait)
                    reports = []
                    continue
                full = len(tasks) == self._slots
                done, tasks = await asyncio.wait(
                    tasks, timeout=None if full else orders.wait, return_when=asyncio.FIRST_COMPLETED
                )
                reports = [task.result() for task in done]
        self._segment.close()

    def _session(self) -> aiohttp.ClientSession:
        connector = GuardedConnector(self._source.allow_private, self._connect_to, self._lookup, limit=self._slots)
        return aiohttp.ClientSession(
            connector=connector,
            headers={
                "User-Agent": self._source.user_agent,
                "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.1",
                "Accept-Encoding": "gzip",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # the WARC keeps the body as it was received
            timeout=aiohttp.ClientTimeout(total=None),  # page_timeout is held in fetch()
            max_field_size=1 << 16,
            max_line_size=1 << 16,
        )

    async def fetch(self, session: aiohttp.ClientSession, job: Job) -> Report:
        """One exchange. Every outcome is a report; what raises is a bug of ours."""
        try:
            async with asyncio.timeout(self._source.page_timeout):
                return await self._exchange(session, job)
        except AddressRefused as error:
            return Report(job, "refused", "address", detail=str(error))
        except TimeoutError:
            return Report(job, "retry", "timeout", detail=f"no whole answer in {self._source.page_timeout} s")
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
            return Report(job, "failed", "tls", detail=str(error))
        except aiohttp.ClientConnectorDNSError as error:
            return Report(job, "retry", "dns", detail=str(error))
        except aiohttp.ClientPayloadError as error:
            return Report(job, "retry", "broken_body", detail=str(error))
        except (aiohttp.ClientResponseError, aiohttp.InvalidURL, ValueError) as error:
            return Report(job, "failed", "bad_http", detail=f"{type(error).__name__}: {error}")
        except (aiohttp.ClientError, OSError) as error:
            return Report(job, "retry", "connection", detail=f"{type(error).__name__}: {error}")

    async def _exchange(self, session: aiohttp.ClientSession, job: Job) -> Report:
        when = datetime.now(UTC)
        async with session.get(URL(job.url, encoded=True), allow_redirects=False) as response:
            address = peer_address.get()
            if job.kind == "page" and response.status == 200 and self._unwanted(response):
                response.close()  # the body is not worth its bytes
                return Report(job, "refused", "content_type", status=200, detail=response.content_type)
            limit = self._source.max_page_bytes if job.kind == "page" else robots.MAX_BYTES
            body, truncated = await _read(response, limit)
        version, info = response.version, response.request_info
        exchange = Exchange(
            url=job.url,
            when=when,
            address=address,
            request_line=f"GET {info.url.raw_path_qs} HTTP/1.1",
            request_headers=[(name.encode(), value.encode()) for name, value in info.headers.items()],
            status_line=f"HTTP/{version.major}.{version.minor} {response.status} {response.reason}" if version else "",
            response_headers=response.raw_headers,
            body=body,
            truncated="length" if truncated else "",
        )
        return self._judge(job, response, exchange)

    def _unwanted(self, response: aiohttp.ClientResponse) -> bool:
        return "Content-Type" in response.headers and response.content_type not in self._source.content_types

    def _judge(self, job: Job, response: aiohttp.ClientResponse, exchange: Exchange) -> Report:
        """Read the answer, store it, and say what it means."""
        status, headers, body = response.status, response.headers, exchange.body
        report = Report(job, "done", status=status, bytes=len(body), truncated=bool(exchange.truncated))
        if status in REDIRECTS and "Location" in headers:
            target = canonical(urljoin(job.url, headers["Location"]))
            report.outcome, report.detail = "redirect", target or headers["Location"]
            report.links = [target] if target else []
        elif status in RETRIED:
            report.outcome, report.reason = "retry", f"http_{status}"
            report.retry_after = _retry_after(headers.get("Retry-After", ""))
        elif status != 200:
            report.outcome, report.reason = "failed", f"http_{status}"
        else:
            try:
                limit = self._source.max_page_bytes
                text = decoded(body, headers.get("Content-Encoding", ""), response.charset or "", limit)
                if job.kind == "robots":
                    report.rules = text.encode("utf-8", "replace")
                else:
                    report.links = page_links(job.url, text, self._token, headers.get("X-Robots-Tag", ""))
            except (ValueError, LookupError) as error:
                report.outcome, report.reason, report.detail = "failed", "bad_encoding", str(error)
        if job.kind == "page":
            judged = [(link, self._scope.refusal(link)) for link in report.links]
            report.links = [link for link, why in judged if why is None]
            report.out_of_scope = [(link, why) for link, why in judged if why is not None]
        report.location = self._segment.append(exchange)
        return report


async def _read(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """The body up to `limit` bytes, and whether there was more."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            response.close()
            return bytes(body[:limit]), True
    return bytes(body), False


def _retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for: a number, or a date (RFC 9110, 10.2.3); 0 when it says nothing."""
    if value.strip().isdigit():
        return float(value)
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return 0.0
