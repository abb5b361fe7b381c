"""What can be checked without running a notebook; ends with 'N passed, N failed'.

`make check` and the git hook of `make hook` call this, and `make test` begins with it.
"""
import ast
import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import packages_distributions
from pathlib import Path

root = Path(__file__).resolve().parent.parent
bin_dir = Path(sys.executable).parent
LIB = 'bigearthnet_dd'
# modules that may use what only developers install
TEST_TOOLS = ('testing', 'benchmark', 'benchmark_loading', 'measure')
BROUGHT_BY_USERS = {'torch': {'torch'}}              # module -> what nobody but its users installs
BINARY = ('.png', '.parquet', '.keras', '.gz')


def git_files(pattern):
    "Files below `pattern` that belong to the project, or None where there is no git."
    command = ['git', 'ls-files', '-co', '--exclude-standard', pattern]
    res = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return res.stdout.splitlines() if res.returncode == 0 else None


def project_files(pattern):
    "Files that belong to the project: git's list where there is one, else what lies there."
    names = git_files(pattern)
    if names is None:
        names = [p.relative_to(root) for p in root.glob(f'{pattern}/**/*')]
    return [root/n for n in names if (root/n).is_file()]


def fresh_copy(folder):
    "The sources in another folder, cleaned and exported anew there; the checkout itself is never touched."
    left_out = shutil.ignore_patterns('.ipynb_checkpoints', '__pycache__', '_*.ipynb')
    for name in ('settings.ini', 'setup.py', 'README.md', 'scripts', 'nbs', LIB):
        source = root/name
        if source.is_dir():
            shutil.copytree(source, folder/name, ignore=left_out)
        elif source.exists():
            shutil.copy(source, folder/name)
    env = {**os.environ, 'PYTHONPATH': str(folder)}
    for command in ('nbdev_clean', 'nbdev_export'):
        subprocess.run([str(bin_dir/command)], cwd=folder, env=env, check=True, capture_output=True)
    return env


TEMPLATES = 'from bigearthnet_dd.runs import export_templates; export_templates()'


def is_source(path):
    "Whether a file counts when two folders are compared."
    if path.name in ('__init__.py', '_modidx.py'):
        return True
    return '.ipynb_checkpoints' not in path.parts and not path.name.startswith('_')


def differing(a, b, pattern):
    "Relative names of files that are not the same in both folders."
    names = {p.relative_to(folder) for folder in (a, b) for p in folder.glob(pattern) if is_source(p)}
    def same(name):
        both = (a/name).exists() and (b/name).exists()
        return both and filecmp.cmp(a/name, b/name, shallow=False)
    return sorted(str(n) for n in names if not same(n))


def problems_of(command, cwd=root, env=None):
    "What a command says when it fails, as a list of lines; an empty list when it succeeds."
    try:
        res = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    except FileNotFoundError:
        return [f'{command[0]} is not there: run make setup']
    said = (res.stdout + res.stderr).strip()
    return [] if res.returncode == 0 else said.splitlines() or [f'{command} failed']


def check_notebooks_clean(copy, env):
    changed = differing(root, copy, 'nbs/**/*.ipynb')
    return [f'{n} is not clean: run make export and commit' for n in changed]


def check_modules_in_step(copy, env):
    changed = differing(root, copy, f'{LIB}/*.py')
    return [f'{n} differs from its notebook: edit the notebook, run make export and commit' for n in changed]


def check_run_notebooks_in_step(copy, env):
    "The package carries the run notebooks for installations without a checkout."
    said = problems_of([sys.executable, '-c', TEMPLATES], copy, env)
    changed = differing(root, copy, f'{LIB}/runs/*.ipynb')
    return said + [f'{n} is not the notebook in nbs/runs: run make export and commit' for n in changed]


def check_readme_in_step(copy, env):
    return problems_of([sys.executable, 'scripts/make_readme.py', '--check'], copy, env)


def check_outputs_in_step(copy, env):
    return problems_of([sys.executable, 'scripts/outputs.py', '--check'])


def check_ruff(copy, env):
    return problems_of([str(bin_dir/'ruff'), 'check', '--quiet', '--output-format', 'concise'])


def check_types(copy, env):
    "Calls fit the annotations of the package's functions; mypy.ini says what is looked at."
    said = problems_of([str(bin_dir/'mypy'), '--no-error-summary', '--hide-error-context', LIB])
    return [line for line in said if ': note:' not in line]


def check_house(copy, env):
    "Data flows one way: a module imports only from notebooks with a smaller number."
    return problems_of([sys.executable, 'scripts/draw_house.py', '--check'])


def check_flow(copy, env):
    "The README's picture of the flow is the one that its script draws."
    return problems_of([sys.executable, 'scripts/draw_flow.py', '--check'])


def packages_of(imports):
    "Names of the top-level packages of import statements, without Python's own and ours."
    names = set()
    for node in imports:
        if isinstance(node, ast.Import):
            names |= {alias.name.split('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split('.')[0])
    return names - set(sys.stdlib_module_names) - {LIB}


def imported_packages(path):
    "Names of the top-level packages that a module imports anywhere."
    return packages_of(ast.walk(ast.parse(path.read_text())))


def required_packages():
    "{'core', 'train', ...: distributions that settings.ini requires for it}, names normalised as PyPI does."
    from configparser import ConfigParser
    config = ConfigParser(delimiters=['='])
    config.read(root/'settings.ini')
    def names(key):
        found = re.findall(r'(?:^|\s)([A-Za-z][\w.-]*)', config['DEFAULT'][key])
        return {re.sub('[-_.]+', '-', n).lower() for n in found}
    extras = [key for key in config['DEFAULT'] if key.endswith('_requirements')]
    found = {key.removesuffix('_requirements'): names(key) for key in extras}
    return {'core': names('requirements'), **found}


def imported_first(path):
    "Names of the top-level packages that a module imports when it is imported itself."
    return packages_of(ast.parse(path.read_text()).body)


def check_requirements(copy, env):
    "What a module imports is required: at its top by the core, so that every command can tell its help."
    required, owners = required_packages(), packages_distributions()
    developers = required.pop('dev')
    users = set().union(*required.values())
    problems = []
    for path in sorted((root/LIB).glob('*.py')):
        allowed = users | developers if path.stem in TEST_TOOLS else users
        for names, wanted, place in ((imported_first(path), required['core'], 'core requirements'),
                                     (imported_packages(path), allowed, 'requirements')):
            for name in sorted(names - BROUGHT_BY_USERS.get(path.stem, set())):
                dists = {re.sub('[-_.]+', '-', d).lower() for d in owners.get(name, [name])}
                if not dists & wanted:
                    problems.append(f"{path.name} imports {name}, which settings.ini's {place} do not have")
    return problems


def traces_of_machine():
    "A pattern for absolute paths of a machine and addresses of registries; it does not match this file."
    folders = ['/' + name + '/' for name in ('home', 'Users', 'root', 'work')]
    addresses = ['pypi' + r'\.org', 'python' + 'hosted']
    return re.compile('|'.join(folders + addresses))


def check_no_machine_traces(copy, env):
    "No absolute path of a machine, no registry address, nothing of 1 MB or more among the notebooks."
    traces, problems = traces_of_machine(), []
    for path in project_files('.'):
        if path.suffix in BINARY:
            continue
        name, text = path.relative_to(root), path.read_text(encoding='utf-8', errors='replace')
        text = re.sub(r'"image/(?:png|jpeg)": "[^"]*"|base64,[A-Za-z0-9+/=]+', '', text)
        if found := traces.search(text):
            problems.append(f'{name}: {text[max(0, found.start() - 30):found.end() + 40]!r}')
        if path.suffix == '.ipynb' and path.stat().st_size > 1_000_000:
            problems.append(f'{name} has {path.stat().st_size/1e6:.1f} MB')
    return problems


def prose_of(path):
    "The text of a page without its code: the markdown cells of a notebook, or a whole .md file."
    text = path.read_text(encoding='utf-8')
    if path.suffix == '.ipynb':
        prose = [cell for cell in json.loads(text)['cells'] if cell['cell_type'] == 'markdown']
        text = '\n\n'.join(''.join(cell['source']) for cell in prose)
    text = re.sub(r'^ *```.*?^ *```', '', text, flags=re.M | re.S)
    return re.sub(r'^    .*$|`[^`\n]*`', '', text, flags=re.M)


def anchors_of(path):
    "The names of the headings of a page in links: Jupyter's (hyphens for spaces) and GitHub's."
    headings = re.findall(r'^#+ +(.+?) *$', prose_of(path), re.M)
    jupyter = {h.replace(' ', '-') for h in headings}
    return jupyter | {re.sub(r'[^\w-]', '', name.lower()) for name in jupyter}


def broken_links(path):
    "The links of a page to files or headings that are not there; the web is not asked."
    prose = prose_of(path)
    targets = re.findall(r'\]\(([^()\s]+(?:\([^()]*\)[^()\s]*)*)(?: "[^"]*")?\)', prose)
    targets += re.findall(r'<(?:img|a)\b[^>]*?(?:src|href)="([^"]+)"', prose)
    broken = []
    for target in targets:
        name, _, anchor = target.partition('#')
        if re.match(r'[a-z]+:', target):
            continue
        page = (path.parent/name) if name else path
        if not page.exists():
            broken.append(f'{target}: no such file')
        elif anchor and page.suffix in ('.ipynb', '.md') and anchor not in anchors_of(page):
            broken.append(f'{target}: no such heading')
    return broken


def check_links(copy, env):
    "Links between pages, and from the texts beside them, lead somewhere."
    pages = [path for path in project_files('.') if path.suffix in ('.ipynb', '.md')]
    return [f'{page.relative_to(root)}: {problem}' for page in pages for problem in broken_links(page)]


def run_checks():
    "Run every check_* function, some at a time; yields (name, problems, seconds, None) for each."
    def timed(check):
        start = time.time()
        return check(Path(tmp), env), time.time() - start
    with tempfile.TemporaryDirectory() as tmp, ThreadPoolExecutor(os.cpu_count()) as pool:
        env = fresh_copy(Path(tmp))
        checks = {name: check for name, check in globals().items() if name.startswith('check_')}
        for name, (problems, seconds) in zip(checks, pool.map(timed, checks.values())):
            yield name[6:].replace('_', ' '), problems, seconds, None


def report(results):
    "Print (name, problems, seconds, CPU seconds) as they come, then the counts; returns the exit code."
    begun, passed, failed = time.time(), 0, 0
    for name, problems, seconds, cpu in results:
        passed += not problems
        failed += bool(problems)
        verdict = 'FAIL' if problems else 'ok  '
        clock = time.strftime('%M:%S', time.gmtime(time.time() - begun))
        used = ' '*13 if cpu is None else f'{cpu:6.1f} CPU s '
        line = f'{verdict} {clock} {seconds:6.1f} s {used} {name}'
        print('\r\x1b[K' * sys.stdout.isatty() + line, *problems[:60], sep='\n       ', flush=True)
    print(f'{passed} passed, {failed} failed')
    return int(failed > 0)


if __name__ == '__main__':
    os.chdir(root)
    sys.exit(report(run_checks()))
