"""Doctor's look at the lake: takes where it is, gives checks of its store, format, lanes and expiry rules.

The store is probed on keys of its own below `_headrace/probe/`, which are removed; nothing else is changed.
Source of the rules: Amazon S3 API reference 2006-03-01, GetBucketLifecycleConfiguration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from time import monotonic, time
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from headrace.checkup import Check
from sink.commit_log import LAKE_KEY, TOPICS, check_format, lanes_of
from sink.errors import LogError, StoreError
from sink.settings import LakeSettings
from sink.store import Store, open_store
from sink.store.probe import probe

SKEW_SECONDS_MAX: Final = 60.0  # S3 refuses requests from 15 minutes on
UPLOAD_DAYS_MIN: Final = 7  # an upload that is committed may wait this long for its sink
ABOVE: Final = "_headrace/"
ADVICE: Final = {
    "store_unavailable": "see that the store runs and can be reached from here",
    "store_refused": "see that bucket or folder exists and this user may list, read, write and delete there",
    "store_unsafe": "use a store that keeps conditional writes: AWS S3, MinIO, versitygw, a local disk",
}


async def check_lake(lake: LakeSettings, lanes: Mapping[str, int]) -> list[Check]:
    """All checks of the lake. Suspends. `lanes`: what the settings say by topic."""
    store = open_store(lake)
    try:
        began = monotonic()
        await probe(store)
        took_ms = (monotonic() - began) * 1000
        told = (
            f"{lake.url} keeps what exactly once needs (create once, raced by 8; uploads; {took_ms:.0f} ms)"
        )
        checks = [Check("lake", "ok", told), *await _landed_checks(store, lanes)]
    except StoreError as error:
        return [Check("lake", "wrong", str(error), ADVICE.get(error.code, ""))]
    finally:
        await store.close()
    if lake.url.startswith("s3://"):
        checks += await asyncio.to_thread(lambda: list(_bucket_checks(lake)))
    return checks


async def _landed_checks(store: Store, lanes: Mapping[str, int]) -> list[Check]:
    """Format and lanes of what has landed, against this version and the settings."""
    checks = []
    try:
        data = await store.read(LAKE_KEY)
        if data is None:
            return [Check("lake", "note", "nothing has landed here yet")]
        check_format(data, LAKE_KEY)
    except LogError as error:
        return [
            Check("lake", "wrong", str(error), "use the version of Headrace that wrote it, or a newer one")
        ]
    async for listed in store.list(TOPICS):
        topic = listed.key.removeprefix(TOPICS).removesuffix(".json")
        try:
            landed = lanes_of(await store.read(listed.key) or b"", listed.key)
        except LogError as error:
            checks.append(Check("lake", "wrong", str(error)))
            continue
        if lanes.get(topic, landed) != landed:
            told = (
                f"{topic} has landed with {landed} lanes, the settings say {lanes[topic]}: no sink takes it"
            )
            checks.append(Check("lake", "wrong", told, f"[topics.{topic}] lanes = {landed}"))
        else:
            checks.append(
                Check("lake", "ok", f"{topic} lands here, {landed} lane{'s' if landed > 1 else ''}")
            )
    return checks


def _bucket_checks(lake: LakeSettings) -> Iterator[Check]:
    """Expiry rules and the clock of the store; blocks."""
    from botocore.config import Config
    from botocore.session import get_session

    bucket, _, prefix = lake.url.removeprefix("s3://").partition("/")
    seconds = lake.request_seconds_max
    style = {"addressing_style": "path"} if lake.endpoint_url else {}
    client = get_session().create_client(
        "s3",
        endpoint_url=lake.endpoint_url,
        region_name=lake.region,
        config=Config(connect_timeout=seconds, read_timeout=seconds, s3=style),
    )
    rules: list[dict[str, Any]] | None = []
    try:
        answer = client.get_bucket_lifecycle_configuration(Bucket=bucket)
        rules = answer.get("Rules", [])
    except ClientError as error:
        answer = error.response
        if answer.get("Error", {}).get("Code") != "NoSuchLifecycleConfiguration":
            rules = None
    except BotoCoreError as error:
        yield Check("lake", "note", f"expiry rules can't be read: {error}")
        return
    finally:
        client.close()
    if rules is None:
        told = f"expiry rules can't be read: {answer.get('Error', {}).get('Code')}"
        yield Check(
            "lake", "note", told, "allow s3:GetLifecycleConfiguration, or see to it that no rule covers it"
        )
    else:
        yield from judge_rules(rules, prefix.strip("/"))
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if date:
        yield judge_store_clock(parsedate_to_datetime(date).timestamp(), time())


def judge_rules(rules: Iterable[Mapping[str, Any]], prefix: str) -> Iterator[Check]:
    """Checks of the rules of a bucket, for a lake below `prefix`."""
    lake = f"{prefix}/" if prefix else ""
    wrong = False
    for rule in rules:
        covers = _prefix_of(rule)
        name = rule.get("ID") or "(without a name)"
        if rule.get("Status") != "Enabled":
            continue
        if "Expiration" in rule and not _only_markers(rule) and _meet(covers, lake + ABOVE):
            wrong = True
            told = f"expiry rule {name!r} deletes below {lake}{ABOVE}: no proof, and records would land twice"
            yield Check("lake", "wrong", told, f"remove the rule, or keep it from {lake}{ABOVE}")
        elif "Expiration" in rule and not _only_markers(rule) and _meet(covers, lake):
            told = f"expiry rule {name!r} deletes landed files: verify will name each as missing"
            yield Check("lake", "note", told)
        days = rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
        if days is not None and days < UPLOAD_DAYS_MIN and _meet(covers, lake):
            wrong = True
            told = (
                f"rule {name!r} removes uploads after {days} days: a committed one may wait longer for a sink"
            )
            yield Check("lake", "wrong", told, f"set it to {UPLOAD_DAYS_MIN} days or more")
    if not wrong:
        yield Check("lake", "ok", f"no rule of the bucket deletes below {lake}{ABOVE}")


def judge_store_clock(store: float, now: float) -> Check:
    """The store's clock against this one, seconds since 1970 (the store tells whole seconds)."""
    skew = store - now
    if abs(skew) > SKEW_SECONDS_MAX:
        told = f"the store's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this one"
        return Check(
            "clock", "wrong", told, "keep the clocks with NTP; S3 refuses requests from 15 minutes on"
        )
    return Check("clock", "ok", "the store's clock and this machine's agree to the minute")


def _prefix_of(rule: Mapping[str, Any]) -> str:
    """What a rule covers; a tag or size beside the prefix only narrows it, which is not looked at."""
    told = rule.get("Filter", {})
    return str(told.get("Prefix") or told.get("And", {}).get("Prefix") or rule.get("Prefix") or "")


def _only_markers(rule: Mapping[str, Any]) -> bool:
    """Whether the rule removes delete markers alone."""
    return set(rule["Expiration"]) == {"ExpiredObjectDeleteMarker"}


def _meet(one: str, other: str) -> bool:
    """Whether some key begins with both prefixes."""
    return one.startswith(other) or other.startswith(one)
