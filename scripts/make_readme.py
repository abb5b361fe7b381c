"""README.md from nbs/index.ipynb, outputs included, without quarto; `--check` only compares.

Cells marked `#| hide` are left out, and so are the directive lines of the others.
"""
import re
import sys
from pathlib import Path
import nbformat
from nbconvert import MarkdownExporter

root = Path(__file__).resolve().parent.parent
NOTE = '<!-- made from nbs/index.ipynb by scripts/make_readme.py: edit the notebook -->'


def visible_notebook():
    "The notebook as a reader of the README sees it."
    nb = nbformat.read(root/'nbs'/'index.ipynb', 4)
    nb.cells = [c for c in nb.cells if not re.search(r'^#\|\s*hide\b', c.source, re.M)]
    for cell in nb.cells:
        cell.source = re.sub(r'^#\|.*\n?', '', cell.source, flags=re.M)
    nb.metadata['language_info'] = {'name': 'python'}
    return nb


def seen_from_root(text):
    "Links and pictures of the notebook, as seen from the checkout's root."
    text = re.sub(r'\]\(((?:\w+/)?[\w-]+\.ipynb)\)', r'](nbs/\1)', text)
    text = re.sub(r'(\]\(|src="|srcset=")images/', r'\1nbs/images/', text)
    return re.sub(r'\]\(\.\./', '](', text)


def readme_text():
    "What README.md should hold."
    text, _ = MarkdownExporter().from_notebook_node(visible_notebook())
    text = re.sub(r'\n{3,}', '\n\n', seen_from_root(text))
    return f'{NOTE}\n\n{text.strip()}\n'


def main(args):
    readme = root/'README.md'
    body = readme_text()
    if '--check' not in args:
        readme.write_text(body, encoding='utf-8')
    elif not readme.exists() or readme.read_text(encoding='utf-8') != body:
        return 'README.md is out of date: run make export and commit'


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
