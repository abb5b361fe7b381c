"""What would be published: a source archive and a wheel from it, built in a copy and checked; CITATION.cff.

usage: check_package.py    exit code 1 and a line for each problem when something is wrong
"""
import re
import subprocess
import sys
import tempfile
import zipfile
from configparser import ConfigParser
from pathlib import Path
import jsonschema
import yaml

root = Path(__file__).resolve().parent.parent
LIB = 'bigearthnet_dd'


def settings():
    ini = ConfigParser(delimiters=['='])
    ini.read(root/'settings.ini', encoding='utf-8')
    return ini['DEFAULT']


def files():
    "The project's files as git lists them, or all where there is no git."
    command = ['git', 'ls-files', '-co', '--exclude-standard']
    res = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if res.returncode == 0:
        return [name for name in res.stdout.splitlines() if (root/name).is_file()]
    inside = [p for p in root.rglob('*') if p.is_file()]
    return [p.relative_to(root).as_posix() for p in inside if p.relative_to(root).parts[0][0] != '.']


def said(*command, cwd):
    "What a command says when it fails, as lines."
    res = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    return [] if res.returncode == 0 else (res.stdout + res.stderr).strip().splitlines()[-15:]


def copy_sources(folder):
    "What a package is made of, copied so that nothing is written into the checkout."
    wanted = re.compile(rf'({LIB}/.*|[^/]+)')
    for name in filter(wanted.fullmatch, files()):
        place = folder/name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((root/name).read_bytes())


def wheel_problems(wheel):
    "What a wheel lacks: modules, the run notebooks, the metadata that PyPI shows."
    names = zipfile.ZipFile(wheel).namelist()
    about = next(n for n in names if n.endswith('.dist-info/METADATA'))
    metadata = zipfile.ZipFile(wheel).read(about).decode()
    modules = {name for name in files() if name.startswith(f'{LIB}/') and name.endswith(('.py', '.ipynb'))}
    problems = [f'{wheel.name} lacks {m}' for m in sorted(modules - set(names))]
    cfg = settings()
    lines = ('License', 'Requires-Python', 'Requires-Dist', f"Version: {cfg['version']}\n")
    return problems + [f'{wheel.name} has no {key.strip()}' for key in lines if f'\n{key}' not in metadata]


def build_problems():
    "Build source archive and wheel (the wheel from the archive, as pip would), and let twine judge them."
    (root/'build').mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root/'build') as tmp:
        source, out = Path(tmp)/'source', Path(tmp)/'dist'
        copy_sources(source)
        tool = [sys.executable, '-m', 'build', '--no-isolation']
        problems = said(*tool, '--outdir', str(out), '.', cwd=source)
        if problems:
            return problems
        built = sorted(out.iterdir())
        problems = said(sys.executable, '-m', 'twine', 'check', '--strict', *map(str, built), cwd=source)
        return problems + [p for wheel in out.glob('*.whl') for p in wheel_problems(wheel)]


PERSON = {'type': 'object', 'anyOf': [{'required': ['name']}, {'required': ['family-names', 'given-names']}]}
WORK = {'type': 'object', 'required': ['type', 'title', 'authors'],
        'properties': {'authors': {'type': 'array', 'minItems': 1, 'items': PERSON}}}
CITATION = {
    'type': 'object',
    'required': ['cff-version', 'message', 'title', 'authors', 'version', 'license', 'references'],
    'properties': {'cff-version': {'const': '1.2.0'}, 'authors': WORK['properties']['authors'],
                   'references': {'type': 'array', 'minItems': 2, 'items': WORK}}}


def citation_problems():
    "CITATION.cff has what the format requires, and the version of settings.ini."
    cff = yaml.safe_load((root/'CITATION.cff').read_text(encoding='utf-8'))
    validator = jsonschema.Draft202012Validator(CITATION)
    problems = [f'CITATION.cff: {e.message}' for e in validator.iter_errors(cff)]
    version, own = settings()['version'], cff.get('version')
    return problems if own == version else [*problems, f'CITATION.cff: version {own} is not {version}']


def main():
    problems = citation_problems() + build_problems()
    print(*problems, sep='\n')
    return bool(problems)


if __name__ == '__main__':
    sys.exit(main())
