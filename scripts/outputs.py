"""Keep what the pages show in step with their code.

usage: outputs.py            execute every page whose code changed since it was last executed
       outputs.py PAGE ...   execute these pages, changed or not
       outputs.py --check    name the pages that need it; exit code 1 when there are any

A page remembers the code it was executed with: the checksum of its code cells stands in its metadata.
Only a page's own code counts. After a change in a module, name the pages that should show it.
Cells marked `#| eval: false` are records of something that takes long: they are neither executed nor counted.
"""
import hashlib
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import nbformat

root = Path(__file__).resolve().parent.parent
MARK = 'executed'        # also in settings.ini, allowed_metadata_keys: nbdev_clean keeps it
SKIP = 'skip-execution'  # nbclient's tag


def is_record(cell):
    "Whether a cell says that it is not to be executed."
    return re.search(r'^#\|\s*eval:\s*false', cell.source, re.M) is not None


def code_checksum(nb):
    "SHA-256 over the code cells of a notebook, in order."
    digest = hashlib.sha256()
    for cell in nb.cells:
        if cell.cell_type == 'code' and not is_record(cell):
            digest.update(cell.source.strip().encode() + b'\0')
    return digest.hexdigest()[:16]


def mark_records(nb, marked):
    "Put nbclient's tag on cells that it must not execute, or take it away again."
    for cell in nb.cells:
        if is_record(cell):
            tags = [t for t in cell.metadata.get('tags', []) if t != SKIP]
            cell.metadata['tags'] = [*tags, SKIP] if marked else tags
            if not cell.metadata['tags']:
                del cell.metadata['tags']


def pages():
    "All notebooks of the project: pages, drills, tutorials and run notebooks."
    found = sorted((root/'nbs').rglob('*.ipynb'))
    return [p for p in found if not any(part.startswith(('.', '_')) for part in p.relative_to(root).parts)]


def is_stale(page):
    "Whether a page's code is not the code that it was executed with."
    nb = nbformat.read(page, 4)
    return nb.metadata.get(MARK) != code_checksum(nb)


def environment():
    "Variables for kernels: quiet libraries, our commands on the PATH, real data where it is at hand."
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    real = root.parent/'shared'/'data'
    if real.is_dir():
        os.environ.setdefault('BEN_REAL_DATA', str(real))


def shortened(text):
    "A text that names places as seen from the checkout."
    real = os.environ.get('BEN_REAL_DATA')
    if real:
        text = text.replace(f'{real}/', 'BEN_REAL_DATA/')
    return text.replace(f'{root}/', '')


def shorten_paths(nb):
    "Outputs name places as seen from the checkout, so that they say nothing about the machine."
    for cell in nb.cells:
        for output in cell.get('outputs', []):
            if 'text' in output:
                output['text'] = shortened(output['text'])
            for kind, value in output.get('data', {}).items():
                if kind.startswith('text/'):
                    output['data'][kind] = shortened(value)


GREETING = re.compile(r'absl::InitializeLog|cuda_platform\.cc|cudart_stub\.cc|port\.cc|cpu_feature_guard\.cc')


def drop_greetings(nb):
    "What TensorFlow says about absent GPUs when it is loaded is no result of a page."
    for cell in nb.cells:
        for output in cell.get('outputs', []):
            if output.get('name') == 'stderr':
                lines = output['text'].splitlines(keepends=True)
                output['text'] = ''.join(line for line in lines if not GREETING.search(line))
        if 'outputs' in cell:
            cell.outputs = [o for o in cell.outputs if o.get('name') != 'stderr' or o['text'].strip()]


def execute(page):
    "Run all cells of a page in a fresh kernel and keep their outputs; returns '' or what went wrong."
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    nb = nbformat.read(page, 4)
    place = {'metadata': {'path': page.parent}}
    client = NotebookClient(nb, timeout=None, kernel_name='python3', resources=place, force_raise_errors=True)
    mark_records(nb, True)
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError) as e:
        return str(e)[-3000:]
    mark_records(nb, False)
    nb.metadata[MARK] = code_checksum(nb)
    nb.metadata.pop('widgets', None)
    shorten_paths(nb)
    drop_greetings(nb)
    nbformat.write(nb, page)
    return ''


def execute_all(chosen):
    "Execute pages, two at a time, drills first because they take longest; returns how many failed."
    chosen = sorted(chosen, key=lambda page: (page.parent.name != 'drills', page))
    failed = 0
    def timed(page):
        start = time.time()
        return page, execute(page), time.time() - start
    with ThreadPoolExecutor(int(os.environ.get('NB_WORKERS', 2))) as pool:
        for page, problem, seconds in pool.map(timed, chosen):
            failed += bool(problem)
            print(f'{"FAIL" if problem else "ok  "} {seconds:6.1f} s  {page.relative_to(root)}', flush=True)
            if problem:
                print(problem, flush=True)
    return failed


def main(args):
    if args == ['--check']:
        stale = [str(p.relative_to(root)) for p in pages() if is_stale(p)]
        for name in stale:
            print(f'{name}: its code changed since it was executed; run make outputs and commit')
        return len(stale) > 0
    chosen = [Path(a).resolve() for a in args] or [p for p in pages() if is_stale(p)]
    environment()
    return execute_all(chosen) > 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
