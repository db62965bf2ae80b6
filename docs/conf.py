"""How the pages are built: Sphinx with MyST, which reads Markdown, and the theme Furo."""

from __future__ import annotations

project = "tfxfer"
author = "the authors of tfxfer"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "tfxfer"
# The pages are read from disk as well as from a server: nothing is fetched, no source is copied.
html_copy_source = False
html_show_sphinx = html_show_copyright = False
# Headings have the anchors that GitHub gives them.
myst_heading_anchors = 3
# Indented blocks are commands and folders, for which no lexer is worth a guess.
highlight_language = "text"
