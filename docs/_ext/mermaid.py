"""The directive ``mermaid``: a graph that the browser draws, and that is legible without."""

from __future__ import annotations

import html
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_SCRIPT = """
<script type="module">
import mermaid from "https://cdn.jsdelivr.net/npm/mermaid@11/dist/mermaid.esm.min.mjs";
const dark = document.documentElement.dataset.theme === "dark";
mermaid.initialize({ startOnLoad: true, theme: dark ? "dark" : "neutral" });
</script>
"""


class Mermaid(SphinxDirective):
    """A graph in the language of mermaid, as GitHub draws it too."""

    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        """Return the text of the graph for the script that draws it."""
        graph = html.escape("\n".join(self.content))
        text = f'<pre class="mermaid">\n{graph}\n</pre>{_SCRIPT}'
        return [nodes.raw("", text, format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the directive known."""
    app.add_directive("mermaid", Mermaid)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
