"""Makes docs/pictures/timeline.png: the timeline of a real job of four workers, one of which is killed on its way.

    .venv/bin/python tools/page_picture.py        (needs Chromium and a minute)

The job is that of `make demo`, with 400 MB of events.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "pictures" / "timeline.png"
PATIENCE = 300.0
WIDTH = 1100


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = run(Path(folder))
        take(report)
    sys.stdout.write(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1000:.0f} kB\n")


def run(folder: Path) -> Path:
    """The report of the job."""
    make = [sys.executable, str(ROOT / "examples" / "demo" / "make_events.py"), "--size", "400M", "demo/events"]
    subprocess.run(make, cwd=folder, check=True)
    job, report = ROOT / "examples" / "demo" / "events-by-user.yaml", folder / "report.html"
    program = [str(Path(sys.executable).parent / "shuffle"), "run", str(job), "--dashboard", "--report", str(report)]
    with subprocess.Popen(
        [*program, "--workers", "4", "--memory", "300Mi"], cwd=folder, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        found = next(filter(None, (re.search(r"(http://\S+)/jobs/(\w+)", line) for line in process.stderr)))
        strike(process.pid, f"{found[1]}/api/jobs/{found[2]}")
        process.communicate(timeout=PATIENCE)
    return report


def strike(program: int, address: str) -> None:
    """Kill a worker when a third of the job is done."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        with urllib.request.urlopen(address) as answer:  # noqa: S310 - of the program that was started above
            percent = json.load(answer)["progress"]["percent"]
        if percent >= 33:
            break
        time.sleep(0.2)
    workers = [one for one in psutil.Process(program).children() if "shuffle_worker" in " ".join(one.cmdline())]
    max(workers, key=lambda one: one.cpu_times().user).kill()


def take(report: Path) -> None:
    program = shutil.which("chromium") or sys.exit("there is no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, device_scale_factor=1.5, color_scheme="light")
        page.goto(report.as_uri())
        timeline = page.locator("#timeline")
        timeline.scroll_into_view_if_needed()
        for left_out in (".behind", ".hint", ".about", ".tools select", ".tools .step"):
            page.locator(f"#timeline {left_out}").evaluate_all("all => all.forEach((one) => { one.hidden = true; })")
        page.wait_for_function("() => document.querySelector('#timeline canvas').width > 300")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        timeline.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
