"""The README's picture of the asset graph, taken from the real UI: ``make picture``.

A clone with three models, so that the names can be read. Needs Debian's chromium.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hawk_assets_tests.pipelines import REPOSITORY
from hawk_assets_tests.postgres import free_port
from hawk_assets_tests.test_ui import CHROMIUM, PROGRAMS, Clone, browser, wait_for_ui

PICTURE = REPOSITORY / "docs" / "asset_graph.png"
MODELS = {"__init__.py", "commitments.py", "momentum.py", "rsi.py"}
# The graph fills the width. On a page this wide the buttons at the edge stay clear of it.
WIDTH, HEIGHT, MARGIN = 2000, 1400, 6
LAYOUT_MILLISECONDS = 6000


def main() -> None:
    if not CHROMIUM.exists():
        sys.exit(f"{CHROMIUM} is missing: apt install chromium")
    with TemporaryDirectory(prefix="asset_graph_", ignore_cleanup_errors=True) as folder:
        clone, port = Clone(Path(folder, "hawk_assets"), MODELS), free_port()
        with clone.started(PROGRAMS / "hawk", "dev", "-p", port):
            url = f"http://127.0.0.1:{port}"
            wait_for_ui(url)
            with browser(WIDTH, HEIGHT) as page:
                take_picture(page, url, len(clone.tables()))
    sys.stdout.write(f"wrote {PICTURE.relative_to(REPOSITORY)}\n")


def take_picture(page: Any, url: str, tables: int) -> None:
    """The global lineage with all groups open, and nothing around it."""
    page.goto(f"{url}/asset-groups")
    page.get_by_text("Global asset lineage").first.wait_for()
    page.get_by_role("button", name="Materialize all").first.wait_for()
    page.wait_for_timeout(LAYOUT_MILLISECONDS)
    page.mouse.click(WIDTH - 300, HEIGHT - 50)  # the empty canvas: keys go there from now on
    page.keyboard.press("Alt+e")
    page.wait_for_timeout(LAYOUT_MILLISECONDS)
    # The dots of the canvas would take most of the file's bytes.
    page.add_style_tag(content="* { background-image: none !important }")
    boxes = [part.bounding_box() for part in page.locator("svg foreignObject").all()]
    assert len(boxes) > tables, "a group is not open"
    left, top = min(b["x"] for b in boxes), min(b["y"] for b in boxes)
    right = max(b["x"] + b["width"] for b in boxes)
    bottom = max(b["y"] + b["height"] for b in boxes)
    area = {
        "x": left - MARGIN,
        "y": top - MARGIN,
        "width": right - left + 2 * MARGIN,
        "height": bottom - top + 2 * MARGIN,
    }
    page.screenshot(path=str(PICTURE), clip=area)


if __name__ == "__main__":
    main()
