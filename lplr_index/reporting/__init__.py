"""What was measured, as one page to look at: charts, a recommendation, and every number in a table."""

from __future__ import annotations

from lplr_index.reporting.page import check_installed, render_page, write_page

__all__ = ["check_installed", "render_page", "write_page"]
