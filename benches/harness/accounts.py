"""The accounts of a soak: whether what the database says agrees with what others saw.

Knows no server and no time: a function of a database, the ids that were acknowledged, and what the gateways took.
"""

import contextlib
import sqlite3
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .processes import Failed

ID = struct.Struct("16s")
IDS_AT_ONCE = 65536
# Ids are random, so their first byte sorts them into shelves of which one at a time is compared: millions of them are few bytes,
# but would be gigabytes as objects.
SHELVES = 256
# How much a server that is killed may have handed over and not yet settled, for each gateway: a device of every job in the
# express lane (`express_jobs_max`); a page (`page_length`) of two fan-outs, since a gateway has one every fifteen seconds and no
# fault holds one up for longer than twenty; and all retries that are claimed at once (four batches of 1000).
UNSETTLED_MAX = 512 + 2 * 1000 + 4 * 1000
# How many requests to one webhook are under way at once, and sent again if the server is killed before it wrote down how they ended.
POSTS_MAX = 16
# What must be empty when all work is done.
QUEUES = {
    "jobs": "SELECT count(*) FROM jobs",
    "retries": "SELECT count(*) FROM retries",
    "scheduled": "SELECT count(*) FROM scheduled",
    "lists": "SELECT count(*) FROM lists",
    "webhook requests": "SELECT count(*) FROM webhook_requests WHERE state = 'waiting'",
}


@dataclass
class Seen:
    """What others than the server saw."""

    # The ids of publishes that were answered 200, 16 bytes each.
    acknowledged: Path
    # The interests that were published to, each of so many devices.
    interests: list
    # How many publishes were sent and had no answer.
    broken: int = 0
    # How often the server was killed.
    kills: int = 0
    # By platform, how many deliveries the gateway took.
    accepted: dict = field(default_factory=dict)
    # By platform, how many attempts failed without the gateway having refused them: it may have taken them.
    doubtful: dict = field(default_factory=dict)
    # The ids of the requests that came for the webhook, as often as they came.
    told: list = field(default_factory=list)


def judge(database, seen):
    """Lines of what is judged, what was found, and whether that is well."""
    with contextlib.closing(sqlite3.connect(database)) as book:
        return [_queues(book), _publishes(book, seen), _deliveries(book, seen), _gateways(book, seen), _webhook(book, seen)]


def _one(book, sql):
    return book.execute(sql).fetchone()


def _queues(book):
    left = {name: _one(book, sql)[0] for name, sql in QUEUES.items()}
    told = ", ".join(f"{count} {name}" for name, count in left.items())
    return "stuck work", f"{told} left", not any(left.values())


# ---------------------------------------------------------------------- publishes


def _shelves(acknowledged):
    shelves = [bytearray() for _ in range(SHELVES)]
    with open(acknowledged, "rb") as file:
        while piece := file.read(ID.size * IDS_AT_ONCE):
            if len(piece) % ID.size:
                raise Failed(f"{acknowledged} ends within an id")
            for (number,) in ID.iter_unpack(piece):
                shelves[number[0]] += number
    return shelves


def _publishes(book, seen):
    """Whoever was answered 200 finds the publish, once and finished; what is stored beyond that broke off."""
    acknowledged = lost = twice = 0
    for first, shelf in enumerate(_shelves(seen.acknowledged)):
        answered = [number for (number,) in ID.iter_unpack(shelf)]
        distinct = set(answered)
        span = [bytes([first]) + bytes([last]) * (ID.size - 1) for last in (0x00, 0xFF)]
        distinct.difference_update(number for (number,) in book.execute("SELECT id FROM publishes WHERE id BETWEEN ? AND ?", span))
        acknowledged += len(answered)
        twice += len(answered) - len(set(answered))
        lost += len(distinct)
    stored, unfinished = _one(book, "SELECT count(*), coalesce(sum(state <> 'finished'), 0) FROM publishes")
    beyond = stored - (acknowledged - twice - lost)
    told = (
        f"{acknowledged:,} answered 200, of which {lost:,} are lost and {twice:,} have the id of another; {stored:,} stored, "
        f"of which {unfinished:,} are unfinished and {beyond:,} were not answered, where {seen.broken:,} broke off"
    )
    return "publishes", told, acknowledged > 0 and lost == twice == unfinished == 0 and beyond <= seen.broken


# ---------------------------------------------------------------------- deliveries


def _deliveries(book, seen):
    """Every delivery that was due had one end, publish by publish, and since all faults pass, all were accepted."""
    sizes = {name: book.execute(
        "SELECT count(*) FROM subscriptions s JOIN interests i USING (interest) WHERE i.name = ?", (name,)).fetchone()[0]
        for name in seen.interests}
    if len(set(sizes.values())) != 1:
        raise Failed(f"devices are gone: {sizes}")
    due = f"CASE named WHEN 'users' THEN 1 ELSE {sizes[seen.interests[0]]} END"
    counted = "(SELECT coalesce(sum(count), 0) FROM tallies t WHERE t.publish = p.publish)"
    all_due, all_counted, wrong = _one(
        book, f"SELECT coalesce(sum({due}), 0), coalesce(sum({counted}), 0), coalesce(sum({due} <> {counted}), 0) FROM publishes p")
    ends = book.execute("SELECT outcome, sum(count) FROM tallies GROUP BY outcome ORDER BY outcome").fetchall()
    told = ", ".join(f"{count:,} {outcome}" for outcome, count in ends)
    told = f"{all_counted:,} of {all_due:,}: {told}; {wrong:,} publishes with more or fewer than they have devices"
    return "deliveries", told, wrong == 0 and [outcome for outcome, _ in ends] == ["accepted"]


def _gateways(book, seen):
    """Whatever is tallied was taken by its gateway; what was taken beyond that may have been sent twice.

    At least once means twice in two cases: the server was killed before it settled what it had handed over, or an attempt failed
    although the gateway had taken it, because the answer was lost or came too late. The server counts attempts that failed, and
    the gateway those that it refused; the rest is in doubt.
    """
    tallied = dict(book.execute("SELECT platform, sum(count) FROM tallies WHERE outcome = 'accepted' GROUP BY platform"))
    told, met = [], True
    for platform in sorted(set(tallied) | set(seen.accepted)):
        counted, taken = tallied.get(platform, 0), seen.accepted.get(platform, 0)
        beyond_max = seen.doubtful.get(platform, 0) + seen.kills * UNSETTLED_MAX
        met = met and 0 <= taken - counted <= beyond_max
        told.append(f"{platform} {counted:,} tallied, {taken - counted:,} taken beyond, of {beyond_max:,} at most")
    return "gateways", "; ".join(told), met


# ---------------------------------------------------------------------- webhook


def _webhook(book, seen):
    """Of every fan-out its one event was told, and again only where an attempt failed or a kill forgot it."""
    fanouts = {publish for (publish,) in book.execute("SELECT publish FROM publishes WHERE named = 'interests'")}
    rows = book.execute("SELECT id, publish, state FROM webhook_requests").fetchall()
    requests = {number.hex(): state for number, _, state in rows}
    raised = Counter(publish for _, publish, _ in rows)
    unraised = sum(publish not in raised for publish in fanouts)
    doubled = sum(count > 1 or publish not in fanouts for publish, count in raised.items())
    attempts, failed = _one(book, "SELECT coalesce(sum(attempts), 0), coalesce(sum(state = 'failed'), 0) FROM webhook_requests")
    came = Counter(number.replace("-", "") for number in seen.told)
    untold = sum(state == "delivered" and number not in came for number, state in requests.items())
    unknown = sum(number not in requests for number in came)
    came_max = attempts + seen.kills * POSTS_MAX
    told = (
        f"{len(fanouts):,} fan-outs, {len(requests):,} events, {unraised:,} missing, {doubled:,} doubled, {failed:,} given up; "
        f"{came.total():,} requests came, of {came_max:,} at most: {untold:,} missing, {unknown:,} unknown"
    )
    well = bool(fanouts) and unraised == doubled == failed == untold == unknown == 0
    return "webhook", told, well and came.total() <= came_max
