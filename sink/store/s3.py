"""The store in an S3 bucket: takes keys and bytes, gives objects; every answer of the service is judged here.

    create once      PutObject with If-None-Match: *     412, 409, no answer: the content of the key decides
    upload           CreateMultipartUpload, UploadPart   invisible; its SHA-256 stands in the metadata
    complete         CompleteMultipartUpload             a second time: 200, or NoSuchUpload, by store
    head … delete    HeadObject, GetObject, ListObjectsV2, DeleteObject
    sweep            ListMultipartUploads, AbortMultipartUpload

Keys and secrets come from the environment as botocore reads them (AWS_ACCESS_KEY_ID, …). s3fs's caches are
off, and its and botocore's own repetitions: what may be repeated differs by request, and all have one
deadline. Source: Amazon S3 API reference 2006-03-01, "Conditional writes", "Multipart upload".
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from collections.abc import AsyncIterator
from typing import Any, Final

from aiohttp import ClientError as ConnectionFailure
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnected
from botocore.parsers import ResponseParserError
from s3fs import S3FileSystem

from sink.errors import StoreError
from sink.settings import LakeSettings
from sink.store import (
    OPERATION_REQUESTS_MAX,
    Completion,
    Created,
    Exists,
    Head,
    Listed,
    Upload,
    part_spans,
    together,
)

BACKOFF_SECONDS: Final = 0.1  # before the first repetition, doubled each time
BACKOFF_SECONDS_MAX: Final = 5.0
CONNECTIONS_MAX: Final = 32
LATER: Final = {408, 409, 429, 500, 502, 503, 504}  # the same request may succeed later
ABSENT: Final = {"NoSuchKey", "404", "NotFound", "NoSuchVersion"}
REFUSED_ONCE: Final = {409, 412}  # something is there, or is being written at this moment
SHA256: Final = "sha256"  # x-amz-meta-sha256


class S3Store:
    """A bucket, below a prefix."""

    def __init__(self, lake: LakeSettings) -> None:
        self.url = lake.url
        bucket, _, prefix = lake.url.removeprefix("s3://").partition("/")
        self._bucket = bucket
        self._above = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._request_seconds_max = lake.request_seconds_max
        self._seconds_max = lake.request_seconds_max * OPERATION_REQUESTS_MAX
        config: dict[str, object] = {
            "connect_timeout": lake.request_seconds_max,
            "read_timeout": lake.request_seconds_max,
            "max_pool_connections": CONNECTIONS_MAX,
            "retries": {"total_max_attempts": 1},
            # Newer checksums are not known by all stores; each part bears Content-MD5 instead.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        if lake.endpoint_url:
            config["s3"] = {"addressing_style": "path"}
        self._fs = S3FileSystem(
            asynchronous=True,
            skip_instance_cache=True,
            use_listings_cache=False,
            endpoint_url=lake.endpoint_url,
            client_kwargs={"region_name": lake.region} if lake.region else {},
            config_kwargs=config,
        )
        self._fs.retries = 1

    async def create_once(self, key: str, data: bytes) -> Created | Exists:
        async with self._deadline(key):
            waited = 0
            while True:
                try:
                    await self._ask("put_object", key, Body=data, IfNoneMatch="*", **_md5(data))
                    return Created()
                except ClientError as error:
                    if _status(error) not in LATER | REFUSED_ONCE:
                        raise self._refused(error, key) from error
                except UNANSWERED:
                    pass  # it may be there, or come to be there
                found = await self.read(key)
                if found is not None:
                    return Created() if found == data else Exists(found)
                await _back_off(waited)
                waited += 1

    async def settle(self, key: str) -> None:
        """An object that can be read is durable already."""

    async def upload(self, key: str, data: bytes | memoryview, sha256: str) -> Upload:
        async with self._deadline(key):
            begun = await self._repeat("create_multipart_upload", key, Metadata={SHA256: sha256})
            upload_id = str(begun["UploadId"])
        view = memoryview(data)
        spans = enumerate(part_spans(len(view)), 1)
        works = [self._part(key, upload_id, number, view[first:next_]) for number, (first, next_) in spans]
        return Upload(key, upload_id, tuple(await together(works)))

    async def complete(self, upload: Upload) -> Completion:
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(upload.parts, 1)]
        async with self._deadline(upload.key):
            try:
                await self._repeat(
                    "complete_multipart_upload",
                    upload.key,
                    UploadId=upload.id,
                    MultipartUpload={"Parts": parts},
                )
            except ClientError as error:
                if _code(error) == "NoSuchUpload":
                    return "gone"
                raise self._refused(error, upload.key) from error
        return "completed"

    async def abort(self, upload: Upload) -> None:
        async with self._deadline(upload.key):
            try:
                await self._repeat("abort_multipart_upload", upload.key, UploadId=upload.id)
            except ClientError as error:
                if _code(error) != "NoSuchUpload":
                    raise self._refused(error, upload.key) from error

    async def head(self, key: str) -> Head | None:
        found = await self._get("head_object", key)
        if found is None:
            return None
        return Head(int(found["ContentLength"]), found.get("Metadata", {}).get(SHA256))

    async def read(self, key: str) -> bytes | None:
        found = await self._get("get_object", key)
        return None if found is None else bytes(found["Body"])

    async def read_tail(self, key: str, size: int) -> bytes | None:
        try:
            found = await self._get("get_object", key, Range=f"bytes=-{size}")
        except StoreError as error:
            if isinstance(error.__cause__, ClientError) and _code(error.__cause__) == "InvalidRange":
                return b""  # an empty object has no range
            raise
        return None if found is None else bytes(found["Body"])

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[Listed]:
        more = {"StartAfter": self._above + after} if after else {}
        while True:
            page = await self._page("list_objects_v2", prefix, more)
            for one in page.get("Contents", ()):
                yield Listed(str(one["Key"]).removeprefix(self._above), int(one["Size"]))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def uploads(self, prefix: str) -> AsyncIterator[Upload]:
        more: dict[str, str] = {}
        while True:
            page = await self._page("list_multipart_uploads", prefix, more)
            for one in page.get("Uploads", ()):
                yield Upload(str(one["Key"]).removeprefix(self._above), str(one["UploadId"]))
            if not page.get("IsTruncated"):
                return
            more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    async def delete(self, key: str) -> None:
        await self._get("delete_object", key)

    async def close(self) -> None:
        creator = getattr(self._fs, "_s3creator", None)  # made by the first request
        if creator is not None:
            await creator.__aexit__(None, None, None)

    async def _part(self, key: str, upload_id: str, number: int, data: memoryview) -> str:
        async with self._deadline(key):
            sent = await self._repeat(
                "upload_part", key, UploadId=upload_id, PartNumber=number, Body=bytes(data), **_md5(data)
            )
        return str(sent["ETag"])

    async def _get(self, method: str, key: str, **more: object) -> dict[str, Any] | None:
        async with self._deadline(key):
            try:
                return await self._repeat(method, key, **more)
            except ClientError as error:
                if _code(error) in ABSENT:
                    return None
                raise self._refused(error, key) from error

    async def _page(self, method: str, prefix: str, more: dict[str, str]) -> dict[str, Any]:
        async with self._deadline(prefix):
            return await self._repeat(method, None, Prefix=self._above + prefix, **more)

    async def _repeat(self, method: str, key: str | None, **more: object) -> dict[str, Any]:
        """Ask until there is an answer that is not `later`; the caller's deadline ends it."""
        waited = 0
        while True:
            try:
                return await self._ask(method, key, **more)
            except ClientError as error:
                if _status(error) not in LATER:
                    raise
            except UNANSWERED:
                pass
            await _back_off(waited)
            waited += 1

    async def _ask(self, method: str, key: str | None, **more: object) -> dict[str, Any]:
        """One request, its body read. ClientError: the service said no; one of UNANSWERED: nobody knows."""
        where = {"Bucket": self._bucket}
        if key is not None:
            where["Key"] = self._above + key
        async with asyncio.timeout(self._request_seconds_max):
            try:
                answer: dict[str, Any] = await self._fs._call_s3(method, **where, **more)
            except OSError as error:
                if isinstance(error.__cause__, ClientError):  # s3fs puts an OSError in its place
                    raise error.__cause__ from None
                raise
            if "Body" in answer:
                async with answer["Body"] as stream:
                    answer["Body"] = await stream.read()
        return answer

    def _deadline(self, key: str) -> _Deadline:
        return _Deadline(self, self._seconds_max, key)

    def _refused(self, error: ClientError, key: str) -> StoreError:
        said = str(error.response.get("Error", {}).get("Message", ""))
        answer = f"{error.operation_name} answered {_status(error)} {_code(error)}: {said}"
        return StoreError("store_refused", f"{self.url}: {key}: {answer}")


class _Deadline:
    """All requests of one operation; what they raise becomes a StoreError."""

    def __init__(self, store: S3Store, seconds_max: float, key: str) -> None:
        self._store = store
        self._seconds_max = seconds_max
        self._key = key
        self._timeout = asyncio.timeout(seconds_max)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        place = f"{self._store.url}: {self._key}"
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            told = f"{place}: not done within {self._seconds_max:g} s"
            raise StoreError("store_unavailable", told, retriable=True) from late
        if isinstance(error, ClientError):
            raise self._store._refused(error, self._key) from error
        if isinstance(error, BotoCoreError):
            raise StoreError("store_refused", f"{place}: {error}") from error


# No answer, or a broken one: the request may have been carried out.
UNANSWERED: Final = (
    TimeoutError,
    OSError,
    NotConnected,
    HTTPClientError,
    ResponseParserError,
    ConnectionFailure,
)


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _md5(data: bytes | memoryview) -> dict[str, str]:
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    return {"ContentMD5": base64.b64encode(digest).decode()}


async def _back_off(waited: int) -> None:
    longest = min(BACKOFF_SECONDS * 2**waited, BACKOFF_SECONDS_MAX)
    await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - spreads load, hides nothing
