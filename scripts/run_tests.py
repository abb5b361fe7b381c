"""Everything CI checks; ends with 'N passed, N failed'.

usage: run_tests.py [FLAG ...]     runs the notebooks' cells under these flags too (for example: slow)
"""
import filecmp, os, re, shutil, subprocess, sys, tempfile, time
from pathlib import Path

root = Path(__file__).resolve().parent.parent
bin_dir = Path(sys.executable).parent
LIB = 'bigearthnet_dd'


def tracked(pattern):
    "Files that belong to the project: git's list where there is one, else what lies there."
    res = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard', pattern], cwd=root, capture_output=True, text=True)
    names = res.stdout.split('\n') if res.returncode == 0 else [str(p.relative_to(root)) for p in root.glob(f'{pattern}/**/*')]
    return [root/n for n in names if n and (root/n).is_file()]


def fresh_copy(folder):
    "The sources in another folder, cleaned and exported anew there; the checkout itself is never touched."
    for name in ('settings.ini', 'setup.py', 'README.md', 'scripts', 'nbs', LIB):
        src = root/name
        if src.is_dir(): shutil.copytree(src, folder/name, ignore=shutil.ignore_patterns('.ipynb_checkpoints', '__pycache__', '_*.ipynb'))
        elif src.exists(): shutil.copy(src, folder/name)
    env = {**os.environ, 'PYTHONPATH': str(folder)}
    for cmd in ('nbdev_clean', 'nbdev_export'): subprocess.run([str(bin_dir/cmd)], cwd=folder, env=env, check=True, capture_output=True)
    return env


def differing(a, b, pattern):
    "Relative names of files that are not the same in both folders."
    names = {p.relative_to(d) for d in (a, b) for p in d.glob(pattern) if '.ipynb_checkpoints' not in p.parts and not p.name.startswith('_') or p.name in ('__init__.py', '_modidx.py')}
    return sorted(str(n) for n in names if not ((a/n).exists() and (b/n).exists() and filecmp.cmp(a/n, b/n, shallow=False)))


def check_notebooks_clean(copy, env):
    return [f'{n} is not clean: run make export and commit' for n in differing(root, copy, 'nbs/**/*.ipynb')]


def check_modules_in_step(copy, env):
    return [f'{n} differs from its notebook: edit the notebook, run make export and commit' for n in differing(root, copy, f'{LIB}/*.py')]


def check_readme_in_step(copy, env):
    res = subprocess.run([sys.executable, 'scripts/make_readme.py', '--check'], cwd=copy, env=env, capture_output=True, text=True)
    return [] if res.returncode == 0 else [(res.stderr or res.stdout).strip()[-2000:]]


def check_no_machine_traces(copy, env):
    "No absolute path of a machine, no registry address, nothing of 1 MB or more among the notebooks."
    # the patterns are put together here so that this file does not match itself
    traces = re.compile('|'.join(['/' + d + '/' for d in ('home', 'Users', 'root', 'work')]) + '|' + '|'.join(['pypi' + r'\.org', 'python' + 'hosted']))
    bad = []
    for path in tracked('.'):
        if path.suffix in ('.png', '.parquet', '.keras', '.gz'): continue
        text = re.sub(r'"image/(?:png|jpeg)": "[^"]*"|base64,[A-Za-z0-9+/=]+', '', path.read_text(encoding='utf-8', errors='replace'))
        found = traces.search(text)
        if found: bad.append(f'{path.relative_to(root)}: {text[max(0, found.start() - 30):found.end() + 40]!r}')
        if path.suffix == '.ipynb' and path.stat().st_size > 1_000_000: bad.append(f'{path.relative_to(root)} has {path.stat().st_size/1e6:.1f} MB')
    return bad


def run_checks():
    "Run every check_* function; returns (name, problems, seconds) for each."
    with tempfile.TemporaryDirectory() as tmp:
        env = fresh_copy(Path(tmp))
        for name, func in list(globals().items()):
            if name.startswith('check_'):
                t = time.time()
                yield name[6:].replace('_', ' '), func(Path(tmp), env), time.time() - t


def run_notebooks(flags):
    "nbdev's own test of every notebook, two at a time; yields (name, ok, seconds)."
    from fastcore.parallel import parallel
    from nbdev.config import get_config
    from nbdev.doclinks import nbglob
    from nbdev.test import _keep_file, test_nb
    cfg = get_config()
    nbs = sorted(f.absolute() for f in nbglob(as_path=True) if _keep_file(f, '.notest'))
    only = os.environ.get('ONLY')
    nbs = [f for f in nbs if not only or re.search(only, f.name)]
    os.chdir(cfg.nbs_path)
    res = parallel(test_nb, nbs, skip_flags=cfg.tst_flags.split(), force_flags=flags, basepath=cfg.config_path, n_workers=int(os.environ.get('NB_WORKERS', 2)), pause=1)
    return [(str(f.relative_to(cfg.nbs_path.absolute())), ok, t) for f, (ok, t) in zip(nbs, res)]


if __name__ == '__main__':
    os.chdir(root)
    os.environ['PATH'] = f'{bin_dir}{os.pathsep}{os.environ["PATH"]}'    # so that notebooks find the console scripts
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    real = root.parent/'shared'/'data'
    if real.is_dir(): os.environ.setdefault('BEN_REAL_DATA', str(real))    # real patches for the tests, where they are at hand
    passed = failed = 0
    for name, problems, t in run_checks():
        passed, failed = passed + (not problems), failed + bool(problems)
        print(f'{"FAIL" if problems else "ok  "} {t:6.1f} s  {name}', *problems[:20], sep='\n       ', flush=True)
    for name, ok, t in run_notebooks(sys.argv[1:]):
        passed, failed = passed + ok, failed + (not ok)
        print(f'{"ok  " if ok else "FAIL"} {t:6.1f} s  {name}', flush=True)
    print(f'{passed} passed, {failed} failed')
    sys.exit(failed > 0)
