"""pywebpush as a plain sender: pywebpush_sender.py PORT KEYS CA.pem COUNT"""

import asyncio
import json
import ssl
import sys
import time

import aiohttp
from py_vapid import Vapid
from pywebpush import webpush_async

TITLE = "Line 7 is closed"
BODY = "From Monday the 7 ends at Central Station; take the 12 from there. We are sorry for the detour."
ARTICLE = "2026-11-23-line-7-is-closed-from-monday-until-christmas"
AT_ONCE = 32


async def main(port, keys, ca, count):
    with open(keys, encoding="ascii") as file:
        browsers = [line.split() for line in file]
    vapid = Vapid()
    vapid.generate_keys()
    payload = json.dumps({"notification": {"title": TITLE, "body": BODY}, "data": {"article": ARTICLE}})
    waiting = iter(range(count))
    accepted = 0
    connector = aiohttp.TCPConnector(limit=AT_ONCE, ssl=ssl.create_default_context(cafile=ca))

    async def worker(session):
        nonlocal accepted
        for number in waiting:
            p256dh, auth = browsers[number % len(browsers)]
            subscription = {
                "endpoint": f"https://localhost:{port}/wpush/{number}",
                "keys": {"p256dh": p256dh, "auth": auth},
            }
            claims = {"sub": "mailto:bench@example.com"}
            await webpush_async(
                subscription, payload, vapid_private_key=vapid, vapid_claims=claims, ttl=3600, aiohttp_session=session
            )
            accepted += 1

    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(worker(session) for _ in range(AT_ONCE)))
    seconds = time.perf_counter() - began
    print(json.dumps({"count": count, "accepted": accepted, "seconds": seconds}))


asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
