"""G1 on the running stack: who keeps only one copy of a topic is told so, and is ready all the same."""

from __future__ import annotations

import json
import subprocess

from stack_stand import HEADRACE, Stack, ask, until


def test_g1_readyz_and_doctor_name_a_topic_that_keeps_only_one_copy(stack: Stack) -> None:
    def read() -> dict[str, str]:
        _, _, body = ask(stack.ready["admin_url"], "GET", "/readyz")
        state = json.loads(body)
        assert state["ready"], "one copy is a warning, no obstacle"
        return {
            finding["topic"]: finding["severity"]
            for finding in state["topics"]
            if finding["code"] == "one_copy" and "one copy" in finding["text"]
        }

    named = until(read, 10, "/readyz names the topics")
    assert named == {"events": "warning", "headrace.quarantine": "warning"}

    words = ["doctor", "--json", "--data", str(stack.data)]
    done = subprocess.run([*HEADRACE, *words], capture_output=True, timeout=60, check=False)
    told = [check["text"] for check in json.loads(done.stdout)["checks"] if check["state"] == "note"]
    for topic in named:
        assert any(text.startswith(f"{topic}: only one copy is kept") for text in told), told
