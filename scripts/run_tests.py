"""Everything CI checks; ends with 'N passed, N failed'.

usage: run_tests.py [FLAG ...]     runs the notebooks' cells under these flags too (for example: slow)
"""
import ast
import atexit
import contextlib
import filecmp
import itertools
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import packages_distributions
from pathlib import Path
import psutil

root = Path(__file__).resolve().parent.parent
bin_dir = Path(sys.executable).parent
LIB = 'bigearthnet_dd'
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
    res = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    said = (res.stdout + res.stderr).strip()
    return [] if res.returncode == 0 else said.splitlines() or [f'{command} failed']


def check_notebooks_clean(copy, env):
    changed = differing(root, copy, 'nbs/**/*.ipynb')
    return [f'{n} is not clean: run make export and commit' for n in changed]


def check_modules_in_step(copy, env):
    changed = differing(root, copy, f'{LIB}/*.py')
    return [f'{n} differs from its notebook: edit the notebook, run make export and commit' for n in changed]


def check_readme_in_step(copy, env):
    return problems_of([sys.executable, 'scripts/make_readme.py', '--check'], copy, env)


def check_outputs_in_step(copy, env):
    return problems_of([sys.executable, 'scripts/outputs.py', '--check'])


def check_ruff(copy, env):
    return problems_of([str(bin_dir/'ruff'), 'check', '--quiet', '--output-format', 'concise'])


def check_house(copy, env):
    "Data flows one way: a module imports only from notebooks with a smaller number."
    return problems_of([sys.executable, 'scripts/draw_house.py', '--check'])


def imported_packages(path):
    "Names of the top-level packages that a module imports anywhere."
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split('.')[0])
    return names - set(sys.stdlib_module_names) - {LIB}


def required_packages():
    "Distributions that settings.ini requires, normalised as PyPI does, for users and for developers."
    from configparser import ConfigParser
    config = ConfigParser(delimiters=['='])
    config.read(root/'settings.ini')
    def names(key):
        found = re.findall(r'(?:^|\s)([A-Za-z][\w.-]*)', config['DEFAULT'][key])
        return {re.sub('[-_.]+', '-', n).lower() for n in found}
    return names('requirements'), names('dev_requirements')


def check_requirements(copy, env):
    "Every module imports only what settings.ini requires; `testing` and `benchmark` may use test tools."
    users, developers = required_packages()
    owners = packages_distributions()
    problems = []
    for path in sorted((root/LIB).glob('*.py')):
        allowed = users | developers if path.stem in ('testing', 'benchmark', 'measure') else users
        for name in sorted(imported_packages(path)):
            dists = {re.sub('[-_.]+', '-', d).lower() for d in owners.get(name, [name])}
            if not dists & allowed:
                problems.append(f'{path.name} imports {name}, which settings.ini does not require')
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


def run_checks():
    "Run every check_* function; yields (name, problems, seconds) for each."
    with tempfile.TemporaryDirectory() as tmp:
        env = fresh_copy(Path(tmp))
        for name, check in list(globals().items()):
            if name.startswith('check_'):
                start = time.time()
                yield name[6:].replace('_', ' '), check(Path(tmp), env), time.time() - start


def chosen_notebooks(config):
    "The notebooks to test, drills first because they take longest; ONLY narrows the choice."
    from nbdev.doclinks import nbglob
    from nbdev.test import _keep_file
    only = os.environ.get('ONLY', '')
    found = [f.absolute() for f in nbglob(as_path=True) if _keep_file(f, '.notest')]
    found = [f for f in found if re.search(only, f.name)]
    return sorted(found, key=lambda f: (f.parent.name != 'drills', f))


def notebook_body(notebook, log, flags):
    "Body of a notebook's own process: nbdev's test, with everything it prints in a file."
    from nbdev.config import get_config
    from nbdev.test import test_nb
    config = get_config()
    with open(log, 'wb') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ['BEN_TEST_OF'] = str(notebook)        # inherited by every process that the notebook starts
    signal.signal(signal.SIGINT, signal.default_int_handler)     # a shell's background job ignores Ctrl-C
    os.chdir(config.nbs_path)
    skipped = config.tst_flags.split()
    ok, _ = test_nb(notebook, skip_flags=skipped, force_flags=flags, basepath=config.config_path)
    atexit._run_exitfuncs()                          # a forked process does not do this by itself
    sys.stdout.flush()
    os._exit(not ok)


class NotebookTest:
    "A notebook that is being tested in a process of its own."
    def __init__(self, notebook, flags, folder):
        self.notebook, self.name = notebook, str(notebook.relative_to(root/'nbs'))
        self.log = folder/f'{self.name.replace("/", "-")}.log'
        self.start = time.time()
        arguments = (notebook, self.log, flags)
        self.process = multiprocessing.get_context('fork').Process(target=notebook_body, args=arguments)
        self.process.start()

    def left_running(self):
        "Processes that the notebook started and did not end."
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get('BEN_TEST_OF') == str(self.notebook):
                    found.append(process)
        return [p for p in found if p.pid != self.process.pid]

    def problems(self):
        "What went wrong, as lines: the end of its output when a cell failed, and processes left behind."
        lines = []
        if self.process.exitcode:
            said = self.log.read_text(errors='replace').strip().splitlines()
            lines += said[-40:] or [f'the process ended with exit code {self.process.exitcode}']
        _, alive = psutil.wait_procs(self.left_running(), timeout=10)
        for process in alive:
            with contextlib.suppress(psutil.Error):
                lines.append(f'left running: {" ".join(process.cmdline())[:100]}')
                process.kill()
        return lines


def show_running(running):
    "On a terminal: what is being tested right now."
    if sys.stdout.isatty():
        names = ', '.join(f'{test.name} {time.time() - test.start:.0f} s' for test in running)
        sys.stdout.write(f'\r\x1b[K{names[:shutil.get_terminal_size().columns - 1]}')
        sys.stdout.flush()


def run_notebooks(flags):
    "Test the notebooks, two at a time; yields (name, problems, seconds) as they end."
    import nbdev.test  # noqa: F401  here, so that the forked processes need not import it again
    from nbdev.config import get_config
    waiting, running = chosen_notebooks(get_config()), []
    logs = root/'build'/'tests'
    logs.mkdir(parents=True, exist_ok=True)
    while waiting or running:
        while waiting and len(running) < int(os.environ.get('NB_WORKERS', 2)):
            running.append(NotebookTest(waiting.pop(0), flags, logs))
        for test in [t for t in running if not t.process.is_alive()]:
            running.remove(test)
            yield test.name, test.problems(), time.time() - test.start
        show_running(running)
        time.sleep(.2)


def set_environment():
    "Notebooks find the console scripts, and the real patches where they are at hand."
    os.environ['PATH'] = f'{bin_dir}{os.pathsep}{os.environ["PATH"]}'
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    real = root.parent/'shared'/'data'
    if real.is_dir():
        os.environ.setdefault('BEN_REAL_DATA', str(real))


def main(flags):
    os.chdir(root)
    set_environment()
    begun = time.time()
    passed = failed = 0
    for name, problems, seconds in itertools.chain(run_checks(), run_notebooks(flags)):
        passed += not problems
        failed += bool(problems)
        verdict = 'FAIL' if problems else 'ok  '
        clock = time.strftime('%M:%S', time.gmtime(time.time() - begun))
        line = f'{verdict} {clock} {seconds:6.1f} s  {name}'
        print('\r\x1b[K' * sys.stdout.isatty() + line, *problems[:60], sep='\n       ', flush=True)
    print(f'{passed} passed, {failed} failed')
    return failed > 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
