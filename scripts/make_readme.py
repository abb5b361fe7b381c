"""README.md from nbs/index.ipynb, outputs included, without quarto; `--check` only compares.

Cells marked `#| hide` are left out, and so are the directive lines of the others.
"""
import re, sys
from pathlib import Path
import nbformat
from nbconvert import MarkdownExporter

root = Path(__file__).resolve().parent.parent
nb = nbformat.read(root/'nbs'/'index.ipynb', 4)
nb.cells = [c for c in nb.cells if not re.search(r'^#\|\s*hide\b', c.source, re.M)]
for c in nb.cells: c.source = re.sub(r'^#\|.*\n?', '', c.source, flags=re.M)
nb.metadata['language_info'] = {'name': 'python'}
text, _ = MarkdownExporter().from_notebook_node(nb)
text = re.sub(r'\]\(((?:runs/|tutorials/)?[\w-]+\.ipynb)\)', r'](nbs/\1)', text)      # links and pictures, seen from the root
text = re.sub(r'\]\(\.\./', '](', text)
text = re.sub(r'\n{3,}', '\n\n', text)
body = '<!-- made from nbs/index.ipynb by scripts/make_readme.py: edit the notebook -->\n\n' + text.strip() + '\n'
readme = root/'README.md'
if '--check' in sys.argv: sys.exit(0 if readme.exists() and readme.read_text(encoding='utf-8') == body else 'README.md is out of date: run make export and commit')
readme.write_text(body, encoding='utf-8')
