"""What a notebook shows of a picture or of a widget where no kernel runs."""

import base64
import io
from html.parser import HTMLParser

import numpy as np
from IPython.core.formatters import DisplayFormatter
from PIL import Image


class _Images(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.found.append(dict(attributes))


def images(html):
    """The attributes of every `<img>` in a text of HTML."""
    parser = _Images()
    parser.feed(html)
    return parser.found


def shown(thing):
    """Pixels (H, W, 3) and alternative text of the one `<img>` that stands for this object in a notebook."""
    data, _ = DisplayFormatter().format(thing)
    (image,) = images(data["text/html"])
    _, _, source = image["src"].partition("base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source))).convert("RGB")), image["alt"]
