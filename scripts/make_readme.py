"""README.md from nbs/index.ipynb, outputs included; `--check` only compares.

nbdev's own processors prepare the notebook and nbconvert writes it, so quarto is not needed. Pictures in outputs become files under nbs/images.
"""
import re, sys
from nbconvert import MarkdownExporter
from nbdev.config import get_config
from nbdev.quarto import proc_nbs

cfg = get_config()
cache = proc_nbs(cfg.nbs_path, n_workers=0)
text, resources = MarkdownExporter().from_filename(str(cache/cfg.readme_nb))
text = re.sub(r'\]\((?!http)(?:\./)?((?:runs/|tutorials/)?[\w-]+\.ipynb)\)', r'](nbs/\1)', text)      # links between notebooks, seen from the root
text = re.sub(r'\]\(images/', '](nbs/images/', text)
body = '<!-- made from nbs/index.ipynb by scripts/make_readme.py: edit the notebook -->\n\n' + text.strip() + '\n'
readme = cfg.config_path/'README.md'
if '--check' in sys.argv: sys.exit(0 if readme.exists() and readme.read_text(encoding='utf-8') == body else 'README.md is out of date: run make export and commit')
readme.write_text(body, encoding='utf-8')
