"""A job's report: its page as one file, which needs no server and no network.

The policy in the file allows the very scripts and styles that are in it, by their hashes, and no address at all. The
history lies in it as data, which browsers do not run. Code comes before data, so that a file whose end is missing can
say so.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re

import msgspec

from shuffle_operator.history.document import JobHistory
from shuffle_operator.web import assets

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{styles}</style>
</head>
<body data-page="report">
<a class="skip" href="#main">Skip to the content</a>
<div id="page">
<p class="none">Drawing the report. If this text stays, the file is not whole: its end is missing.</p>
</div>
<noscript>This report needs JavaScript to be drawn; its figures are at the end of the file, as JSON.</noscript>
<!-- The next script is uPlot: MIT License, Copyright (c) 2022 Leon Sorokin. -->
<script>{library}</script>
<script type="module">{script}</script>
<script type="application/json" id="history">{history}</script>
</body>
</html>
"""

HISTORY = re.compile(r'<script type="application/json" id="history">(.*?)</script>', re.DOTALL)


def render(history: JobHistory) -> str:
    """The report as HTML."""
    styles, library, script = assets.styles(), assets.library(), assets.script()
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(library)} {_hash(script)}",
            f"style-src {_hash(styles)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return TEMPLATE.format(
        policy=html.escape(policy, quote=True),
        title=html.escape(f"{history.progress.phase} · {history.job.name}"),
        styles=styles,
        library=library,
        script=script,
        history=_data(history),
    )


def file_name(job: str) -> str:
    """Of a job's report: in the folder that it is put in, whatever the job is called."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "-" for letter in job)
    return f"{plain[:100] or 'job'}-report.html"


def history_in(report: str) -> JobHistory:
    """The history that a report shows. Raises ValueError where the report is not whole, or is none."""
    found = HISTORY.search(report)
    if found is None:
        raise ValueError("this is not a report, or its end is missing")
    try:
        return msgspec.json.decode(found.group(1), type=JobHistory)
    except msgspec.DecodeError as error:
        raise ValueError(f"the history in this report cannot be read: {error}") from error


def _data(history: JobHistory) -> str:
    """JSON in which nothing ends the element that it is in, or begins another."""
    text = msgspec.json.encode(history).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    """Of a script or style, as a policy has it. A browser takes the text as it parses it: line ends are \\n."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
