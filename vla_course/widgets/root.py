"""What every widget shares in the browser, from files: who gets which key, and the colours of the page around it."""

from pathlib import Path

STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
