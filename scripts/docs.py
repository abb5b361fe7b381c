"""The site: the book of notebooks, commands, modules and recorded reports, built offline into _docs/.

usage: docs.py            build the site
       docs.py --check    build it elsewhere, check every internal link and anchor, and open three pages in
                          headless Chromium where that is installed (scripts/browse.py)

Each notebook becomes a page of MyST Markdown in build/site/ with its stored outputs (nothing is executed),
each command and each module becomes a page made from its signature and docments, and Sphinx with the theme
Furo makes HTML of them. Nothing on a page is loaded from the network; the search works from the file system.
"""
import base64
import hashlib
import importlib
import inspect
import io
import re
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
import nbformat
import check_site
import checks
import draw_house

root = Path(__file__).resolve().parent.parent
LIB = 'bigearthnet_dd'
REPORTS = {'demo': 'report', 'scaling': 'report', 'benchmark': 'benchmark'}      # experiment -> its notebook
TEXTS = {'CONTRIBUTING.md': 'contributing', 'CHANGELOG.md': 'changelog', 'experiments/README.md': 'records'}
TUTORIALS = (             # in the order in which they are read
    'explore', 'published', 'frameworks', 'from_your_tool', 'bucket', 'cluster', 'compare_models')
LARGEST = 4000           # characters of a text output that a page shows


# ---------------------------------------------------------------- notebooks

def book():
    "Chapters of the book in order: list of (title, names of the pages)."
    pages = sorted(p.stem for p in (root/'nbs').glob('[0-9][0-9]*_*.ipynb'))
    starts = [*draw_house.CHAPTERS, 1000]
    found = []
    for first, end in zip(starts, starts[1:]):
        title = draw_house.CHAPTERS[first][0].replace('\n', ' ')
        inside = [p for p in pages if first <= int(p[:2]) < end]
        found.append((title[0].upper() + title[1:], inside))
    return [(title, inside) for title, inside in found if inside]


def others(folder):
    return sorted(f'{folder}/{p.stem}' for p in (root/'nbs'/folder).glob('*.ipynb') if p.name[0] not in '._')


def fence(text, kind):
    "A block of code or output; the fence is longer than any inside."
    ticks = '`'*max(3, 1 + max((len(run) for run in re.findall('`+', text)), default=0))
    return f'{ticks}{kind}\n{text.rstrip()}\n{ticks}'


def raw_html(html):
    html = re.sub(r'<script.*?</script>', '', html, flags=re.S)
    return fence(f'<div class="output">{html}</div>', '{raw} html')


def plain(text):
    "Text output without colour codes, shortened, only the last state of a progress bar."
    text = re.sub(r'\x1b\[[0-9;]*[A-Za-z]', '', ''.join(text))
    text = '\n'.join(line.split('\r')[-1] for line in text.rstrip().splitlines())
    return text if len(text) <= LARGEST else f'{text[:LARGEST]}\n... {len(text) - LARGEST:,} characters more'


def picture(data, kind, about, folder):
    "A picture of an output as a file of the site."
    bits = base64.b64decode(''.join(data[kind]))
    suffix = {'image/png': 'png', 'image/jpeg': 'jpg'}[kind]
    name = f'{hashlib.sha256(bits).hexdigest()[:16]}.{suffix}'
    place = folder/'images'/name
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(bits)
    alt = about.get(kind, {}).get('alt', 'figure').replace('_', ' ')
    return f'![{alt}](/images/{name})'


def output_text(output, folder):
    "One output of a cell as MyST Markdown, '' for what a reader need not see."
    if output.output_type == 'stream':
        return fence(plain(output.text), 'text') if output.name == 'stdout' else ''
    if output.output_type == 'error':
        return fence(plain('\n'.join(output.traceback)), 'text')
    data = output.data
    for kind in ('image/png', 'image/jpeg'):
        if kind in data:
            return picture(data, kind, output.metadata, folder)
    if 'text/html' in data:
        return raw_html(''.join(data['text/html']))
    if 'text/markdown' in data:
        return re.sub(r'^#+ +(.*)$', r'**\1**', ''.join(data['text/markdown']), flags=re.M)
    return fence(plain(data.get('text/plain', '')), 'text')


def page_of_link(target, here):
    "The page of the site that a link of a notebook leads to, seen from the site's root; None: no such page."
    path = (here.parent/target).resolve()
    if not path.is_relative_to(root):
        return None
    name = path.relative_to(root).as_posix()
    if name in TEXTS:
        return TEXTS[name]
    if match := re.fullmatch(r'nbs/(.*)\.ipynb', name):
        return match[1]
    match = re.fullmatch(r'experiments/(\w+)(/[\w.]+)?', name)
    if match and match[1] in REPORTS:
        return f'experiments/{match[1]}'
    return None


CODE_OR_LINK = re.compile(r"""
    (?P<code> `{3}.*?`{3} )                                      # links inside code are none
  | (?P<mark>!?) \[ (?P<label> (?:`[^`]*`|[^\]`])* ) \]
    \( (?P<target>[^)\#\s]*) (?P<anchor>\#[^)\s]*)? \)
  | `[^`\n]+`""", re.S | re.X)


def with_links(text, here, folder):
    "Links between notebooks become links between pages; links to files without a page keep their text."
    def link(match):
        target, label = match['target'], match['label']
        if label is None or not target or re.match(r'\w+:', target):
            return match[0]
        if match['mark']:
            return copied_image(label, target, here, folder)
        page = page_of_link(target, here)
        return f"[{label}](/{page}.md{match['anchor'] or ''})" if page else label
    return CODE_OR_LINK.sub(link, text)


def copied_image(label, target, here, folder):
    source = (here.parent/target).resolve()
    place = folder/'images'/source.name
    place.parent.mkdir(exist_ok=True)
    shutil.copy(source, place)
    return f'![{label}](/images/{source.name})'


def html_images(text, here, folder):
    "Pictures that a page names in HTML are copied too."
    def image(match):
        copied_image('', match[2], here, folder)
        return f'{match[1]}images/{Path(match[2]).name}"'
    return re.sub(r'((?:src|srcset)=")((?:\.\./|nbs/)?(?:nbs/)?images/[^"]+)"', image, text)


def cell_text(cell, here, folder, code):
    "One cell as MyST Markdown."
    if cell.cell_type == 'markdown':
        return html_images(with_links(cell.source, here, folder), here, folder)
    if re.search(r'^#\|\s*hide\b', cell.source, re.M):
        return ''
    source = re.sub(r'^#\|.*\n?', '', cell.source, flags=re.M).strip()
    parts = [fence(source, 'python')] if code and source else []
    parts += [output_text(output, folder) for output in cell.get('outputs', [])]
    return '\n\n'.join(filter(None, parts))


def notebook_page(path, folder, code=True):
    "A notebook with its stored outputs as MyST Markdown."
    nb = nbformat.read(path, 4)
    parts = [cell_text(cell, path, folder, code) for cell in nb.cells]
    return '\n\n'.join(filter(None, parts)) + '\n'


# ---------------------------------------------------------------- commands and modules

def cell(text):
    "Text inside a cell of a table."
    return ' '.join(str(text).split()).replace('|', '\\|').replace('<', '&lt;')


def table(header, rows):
    lines = [header, ['---']*len(header), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def option_row(action):
    "One option of a command: how it is written, what it does."
    name = ', '.join(action.option_strings) or action.dest
    value = f' {action.metavar}' if action.option_strings and action.metavar else ''
    needed = ' *(must be given)*' if action.required and action.option_strings else ''
    return [f'`{name}{value}`', cell((action.help or '').replace('%%', '%')) + needed]


def command_page(short, single, func):
    "The page of one command."
    from bigearthnet_dd.commands import command_parser
    parser = command_parser(func, f'ben {short}')
    also = '' if single == short else f' It can be called as `{single}`, too.'
    rows = [option_row(a) for a in parser._actions]
    module = func.__module__.split('.')[-1]
    return '\n\n'.join([
        f'# ben {short}', f'> {cell(func.__doc__)}',
        f'The same from Python: {{py:func}}`{LIB}.{module}.{func.__name__}`.{also}',
        table(['option', 'what it does'], rows)]) + '\n'


def module_of(path):
    "The module that a notebook exports, None for pages without one."
    return draw_house.exported_code(path)[0]


def default_text(value):
    "A default that Python can read, else three dots."
    text = repr(value)
    try:
        compile(text, '', 'eval')
    except SyntaxError:
        return '...'
    return text if len(text) < 60 and '0x' not in text else '...'


def value_text(value):
    "A constant, or what kind of thing it is."
    text = default_text(value)
    if text != '...':
        return f'`{cell(text)}`'
    if isinstance(value, str):
        return f'the text {cell(value)[:50]} ...'.replace('`', '').replace('{', '&#123;')
    size = f' of {len(value)}' if hasattr(value, '__len__') else ''
    return f'{type(value).__name__}{size}'


def signature(func, method=False):
    "Names and defaults of a function; types stand in the table."
    params = list(inspect.signature(func).parameters.values())[1 if method else 0:]
    plain = [p.replace(annotation=p.empty) for p in params]
    words, starred = [], False
    for p in plain:
        if p.kind is p.KEYWORD_ONLY and not starred:
            words.append('*')
        starred |= p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        star = {p.VAR_POSITIONAL: '*', p.VAR_KEYWORD: '**'}.get(p.kind, '')
        default = '' if p.default is p.empty else f'={default_text(p.default)}'
        words.append(f'{star}{p.name}{default}')
    return f"({', '.join(words)})"


def type_text(anno):
    "An annotation in words, with its limits."
    from bigearthnet_dd.commands import limits_in_words
    if anno in (inspect.Parameter.empty, None):
        return ''
    base = getattr(anno, '__origin__', anno) if hasattr(anno, '__metadata__') else anno
    name = getattr(base, '__name__', None) or str(base)
    if '[' in str(base):
        name = re.sub(r'typing\.|Annotated\[(\w+)[^]]*\]', r'\1', str(base))
    limits = limits_in_words(anno) if hasattr(anno, '__metadata__') else ''
    return cell(f'`{name}`' + (f', {limits}' if limits else ''))


def parameters_table(func, method=False):
    "Parameters, types and comments of a function as a table, with what it returns below."
    from fastcore.docments import docments
    docs = docments(func, full=True, returns=True)
    names = list(inspect.signature(func).parameters)[1 if method else 0:]
    rows = [[f'`{n}`', type_text(docs[n].anno), cell(docs[n].docment or '')] for n in names if n in docs]
    parts = [table(['parameter', 'type', 'what it is'], rows)] if any(r[1] or r[2] for r in rows) else []
    result = docs.get('return')
    if result and result.docment:
        parts.append(f'**Returns** {cell(result.docment)}')
    return '\n\n'.join(parts)


def entry(kind, head, body, module='', ticks=4):
    "An entry of Sphinx's Python domain, with an anchor and a place in the search."
    where = f':module: {module}\n' if module else ''
    return f"{'`'*ticks}{{py:{kind}}} {head}\n{where}\n{body.strip()}\n{'`'*ticks}"


def text_of(obj):
    "The docstring, with what Markdown would take for HTML made harmless."
    return (inspect.getdoc(obj) or '').replace('<', '&lt;').replace('{', '&#123;')


def function_entry(name, func, module):
    body = f'{text_of(func)}\n\n{parameters_table(func)}'
    return entry('function', f'{name}{signature(func)}', body, module)


def class_entry(name, cls, module):
    "A class with its public methods."
    methods = [(n, m) for n, m in vars(cls).items() if inspect.isfunction(m) and n[0] != '_' and m.__doc__]
    inner = [entry('method', n + signature(m, True), f'{text_of(m)}\n\n{parameters_table(m, True)}')
             for n, m in methods]
    try:
        head, fields = name + signature(cls), parameters_table(cls)
    except (TypeError, ValueError):         # an exception or another class without a signature
        head, fields = name, ''
    return entry('class', head, '\n\n'.join([text_of(cls), fields, *inner]), module, ticks=6)


def load_module(name):
    "A module of the package; packages that only its users install are stood in for."
    from sphinx.ext.autodoc.mock import mock
    with mock(sorted(checks.BROUGHT_BY_USERS.get(name, ()))):
        return importlib.import_module(f'{LIB}.{name}')


def module_page(name, page):
    "The reference of one module: every public name with signature, table of parameters and docstring."
    module = load_module(name)
    parts, constants = [f'# {name}', f'{text_of(module)}', f'How and why it works: [{page}](/{page}.md).'], []
    for public in module.__all__:
        obj = getattr(module, public)
        obj = inspect.unwrap(obj) if callable(obj) and not isinstance(obj, type) else obj
        if inspect.isclass(obj) and obj.__module__ == module.__name__:
            parts.append(class_entry(public, obj, module.__name__))
        elif inspect.isfunction(obj):
            parts.append(function_entry(public, getattr(module, public), module.__name__))
        else:
            constants.append(entry('data', public, value_text(obj), module.__name__))
    if constants:
        parts += ['## Constants', *constants]
    return '\n\n'.join(parts) + '\n'


# ---------------------------------------------------------------- the site

def toctree(title, pages, numbered=False):
    lines = [':hidden:', f':caption: {title}']
    return '```{toctree}\n' + '\n'.join(lines + ['', *pages]) + '\n```'


def write_page(folder, name, text):
    path = folder/f'{name}.md'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def write_commands(folder):
    "A page for each command, and one that lists them."
    from bigearthnet_dd.ben import COMMANDS, find_command
    rows = []
    for short, (single, _, _) in COMMANDS.items():
        func = find_command(short)
        write_page(folder, f'commands/{short}', command_page(short, single, func))
        rows.append([f'[ben {short}](/commands/{short}.md)', f'`{single}`', cell(func.__doc__)])
    names = [f'/commands/{short}' for short in COMMANDS]
    text = '# Commands\n\n> Every command with all its options, made from the functions themselves.\n\n'
    listed = '```{toctree}\n:hidden:\n\n' + '\n'.join(names) + '\n```\n'
    write_page(folder, 'commands/index', f"{text}{table(['command', 'single name', ''], rows)}\n\n{listed}")


def write_modules(folder):
    "A page for each module, and one that lists them."
    rows, names = [], []
    for path in sorted((root/'nbs').glob('[0-9][0-9]*_*.ipynb')):
        if name := module_of(path):
            write_page(folder, f'api/{name}', module_page(name, path.stem))
            about = load_module(name).__doc__ or ''
            rows.append([f'[{name}](/api/{name}.md)', cell(about)])
            names.append(f'/api/{name}')
    text = '# Modules\n\n> Every public name with its signature, parameters and result.\n\n'
    listed = '```{toctree}\n:hidden:\n\n' + '\n'.join(names) + '\n```\n'
    write_page(folder, 'api/index', f"{text}{table(['module', 'what it does'], rows)}\n\n{listed}")


def write_records(folder):
    "The recorded experiments, without code, and the texts beside the notebooks."
    for name, notebook in REPORTS.items():
        path = root/'experiments'/name/f'{notebook}.ipynb'
        write_page(folder, f'experiments/{name}', notebook_page(path, folder, code=False))
    for file, name in TEXTS.items():
        path = root/file
        if path.exists():
            write_page(folder, name, with_links(path.read_text(encoding='utf-8'), path, folder))


def place_of_tutorial(page):
    "Where a tutorial stands; one that TUTORIALS does not name comes last."
    name = page.split('/')[-1]
    return TUTORIALS.index(name) if name in TUTORIALS else len(TUTORIALS)


def write_sources(folder):
    "All pages of the site as MyST Markdown."
    for path in sorted((root/'nbs').rglob('*.ipynb')):
        name = path.relative_to(root/'nbs').with_suffix('').as_posix()
        if not any(part[0] in '._' for part in name.split('/')):
            write_page(folder, name, notebook_page(path, folder))
    write_commands(folder)
    write_modules(folder)
    write_records(folder)
    tutorials = sorted(others('tutorials'), key=place_of_tutorial)
    trees = [toctree('Start', tutorials), toctree('Reference', ['commands/index', 'api/index'])]
    trees += [toctree(title, pages) for title, pages in book()]
    records = [f'{name} <experiments/{name}>' for name in REPORTS]
    trees += [
        toctree('Records', ['records', *records]), toctree('Run notebooks', others('runs')),
        toctree('Drills', others('drills')), toctree('The project', ['contributing', 'changelog'])]
    index = folder/'index.md'
    index.write_text(index.read_text(encoding='utf-8') + '\n\n' + '\n\n'.join(trees) + '\n', encoding='utf-8')


STYLE = '''
.output {overflow-x: auto; margin: .6em 0}
.output table, .output pre {font-size: .8em}
.output table {border-collapse: collapse}
.output th, .output td {padding: .2em .6em; text-align: right}
.output th, .output td {border-bottom: 1px solid var(--color-background-border)}
.output td:last-child, .output th:last-child {text-align: left}
.output caption {text-align: left}
article pre {font-size: .72rem}
article img {background: #fff; max-width: 100%; height: auto}
article img[src$='.svg'] {background: none}
article .table-wrapper, article pre {overflow-x: auto}
article code {overflow-wrap: anywhere}
article table code {overflow-wrap: normal}
.sig {overflow-wrap: anywhere}
table.docutils {margin-left: 0}
@media (min-width: 67em) {
  .sidebar-drawer {width: 16em; min-width: 16em}
  .content {width: min(66em, calc(100vw - 21em)); padding: 0 2em}
}
@media (min-width: 82em) {.content {width: min(66em, calc(100vw - 36em))}}
'''


def jupyter_anchor(title):
    "The anchor that JupyterLab gives a heading, so that one link works in both places."
    return title.replace(' ', '-')


def settings():
    "Sphinx's settings."
    from configparser import ConfigParser
    ini = ConfigParser(delimiters=['='])
    ini.read(root/'settings.ini', encoding='utf-8')
    cfg = ini['DEFAULT']
    return dict(
        project=cfg['title'], author=cfg['author'], release=cfg['version'], version=cfg['version'],
        extensions=['myst_parser'], myst_heading_anchors=4, myst_heading_slug_func=jupyter_anchor,
        suppress_warnings=['myst.header', 'misc.highlighting_failure', 'config.cache'],
        html_theme='furo', html_static_path=['style'], html_css_files=['site.css'], html_copy_source=False,
        html_title=f"{cfg['title']} {cfg['version']}", html_show_sphinx=False,
        html_show_copyright=False, smartquotes=False, toc_object_entries_show_parents='hide',
        maximum_signature_line_length=88)


class Navigation:
    "Furo's tree of all pages, made once for the site: made anew for each page it took half of the build."
    def __init__(self, app):
        self.app, self.whole = app, None
        app.connect('html-page-context', self.before_furo, priority=400)
        app.connect('html-page-context', self.after_furo, priority=600)

    def before_furo(self, app, page, template, context, doctree):
        "Nothing for Furo to make a tree of."
        context['toctree'] = lambda **options: ''

    def after_furo(self, app, page, template, context, doctree):
        "Ours in the place of Furo's."
        context['furo_navigation_tree'] = self.seen_from(page)

    def make(self):
        "The tree as the first page sees it, which is not in it."
        from furo.navigation import get_navigation_tree
        from sphinx.environment.adapters.toctree import global_toctree_for_doc
        app, options = self.app, dict(titles_only=True, maxdepth=-1, includehidden=True, collapse=False)
        tree = global_toctree_for_doc(app.env, 'index', app.builder, tags=app.tags, **options)
        return get_navigation_tree(app.builder.render_partial(tree)['fragment'])

    def seen_from(self, page):
        "The tree with links that lead on from a page; the page is marked, and the branch that holds it open."
        self.whole = self.whole or self.make()
        tree, folder = self.whole, page.rpartition('/')[0]
        branch = re.compile(rf'<li class="([^"]*)">(<a [^>]*"{folder}/index.html">[^<]*</a><input)')
        tree = branch.sub(r'<li class="\1 current">\2 checked=""', tree)
        entry = re.compile(rf'<li class="([^"]*)"><a class="(reference internal)" href="{page}.html">')
        tree = entry.sub(r'<li class="\1 current current-page"><a class="current \2" href="#">', tree)
        return re.sub(r'href="(?!#|\w+:)', 'href="' + '../'*page.count('/'), tree)


def remember_stems(app):
    "Let the index for the search ask only once for the stem of a word."
    from sphinx.search.en import SearchEnglish
    stem = lru_cache(None)(SearchEnglish.stem)
    app.add_search_language(type('English', (SearchEnglish,), dict(stem=stem)))


def build(out):
    "Build the site into a folder; returns Sphinx's warnings as lines."
    from sphinx.application import Sphinx
    folder = root/'build'/'site'
    shutil.rmtree(folder, ignore_errors=True)
    (folder/'style').mkdir(parents=True)
    (folder/'style'/'site.css').write_text(STYLE)
    write_sources(folder)
    said = io.StringIO()
    with tempfile.TemporaryDirectory(dir=root/'build') as trees:
        places = str(folder), None, str(out), trees
        app = Sphinx(*places, 'html', settings(), status=None, warning=said)
        Navigation(app)
        remember_stems(app)
        app.build(force_all=True)
    lines = re.sub(r'\x1b\[[0-9;]*m', '', said.getvalue()).replace(f'{folder}/', '').splitlines()
    return [line for line in lines if line.strip()]


def check():
    "Build the site elsewhere; returns what is wrong with it as lines."
    (root/'build').mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root/'build') as out:
        problems = build(out)
        problems += check_site.broken_links(Path(out))
        problems += check_site.network_addresses(Path(out))
        problems += check_site.without_mark(Path(out))
        problems += check_site.in_browser(Path(out))
    return problems


def main(args):
    sys.path.insert(0, str(root))
    if '--check' in args:
        problems = check()
        print(*problems, sep='\n')
        return bool(problems)
    out = root/'_docs'
    shutil.rmtree(out, ignore_errors=True)
    problems = build(out)
    print(*problems, sep='\n')
    print('the site is in _docs/index.html')
    return bool(problems)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
