"""aioapns as a plain sender: aioapns_sender.py PORT KEY.p8 CA.pem COUNT"""

import asyncio
import json
import ssl
import sys
import time

from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol

TITLE = "Line 7 is closed"
BODY = "From Monday the 7 ends at Central Station; take the 12 from there. We are sorry for the detour."
ARTICLE = "2026-11-23-line-7-is-closed-from-monday-until-christmas"
AT_ONCE = 100


async def main(port, key, ca, count):
    # It knows Apple's hosts only.
    APNsProductionClientProtocol.APNS_SERVER = "localhost"
    APNsProductionClientProtocol.APNS_PORT = int(port)
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    with open(key, encoding="ascii") as file:
        pem = file.read()
    client = APNs(key=pem, key_id="BENCHKEY01", team_id="BENCHTEAM1", topic="com.example.app", ssl_context=context)
    message = {"aps": {"alert": {"title": TITLE, "body": BODY}, "sound": "default"}, "article": ARTICLE}
    waiting = iter(range(count))
    accepted = 0

    async def worker():
        nonlocal accepted
        for number in waiting:
            request = NotificationRequest(
                device_token=f"{number:064x}", message=message, priority=10, push_type=PushType.ALERT
            )
            result = await client.send_notification(request)
            accepted += result.is_successful

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    seconds = time.perf_counter() - began
    print(json.dumps({"count": count, "accepted": accepted, "seconds": seconds}))
    client.pool.close()


asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
