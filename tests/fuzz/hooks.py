"""What schemathesis does not check by itself."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.check
def every_error_is_problem_details(_ctx: Any, response: Any, _case: Any) -> None:
    """RFC 9457 on every path and method, described or not."""
    if response.status_code >= 400 and response.request.method != "HEAD":
        kind = response.headers.get("content-type", ["nothing"])[0]
        assert kind == "application/problem+json", f"{response.status_code} as {kind}"
        body = response.json()
        assert body["status"] == response.status_code
        assert body["code"]
