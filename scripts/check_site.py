"""Checks of a built site: internal links and anchors, nothing from the network, three pages in a browser."""
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADING = {'script': 'src', 'img': 'src', 'iframe': 'src', 'source': 'srcset', 'link': 'href'}
PAGES = ('index.html', 'api/convert.html', 'experiments/scaling.html')
WIDTHS = (390, 1280)                     # pixels: a telephone, a laptop


class Page(HTMLParser):
    "Anchors, links and loaded files of a page."
    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loads = set(), [], []
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        about = dict(attrs)
        self.ids |= {about[k] for k in ('id', 'name') if about.get(k)}
        if tag == 'a' and about.get('href'):
            self.links.append(about['href'])
        if about.get(LOADING.get(tag)):
            self.loads.append(about[LOADING[tag]])


@lru_cache(1)                           # two checks read the same site
def read_pages(site):
    return {p: Page(p) for p in sorted(site.rglob('*.html'))}


@lru_cache(None)                        # every page names all pages
def aim(folder, link):
    "(the file that a link from a folder leads to, whether it is there)."
    goal = (folder/link).resolve()
    return goal, goal.is_file()


def broken_links(site):
    "Internal links and files that lead nowhere, and anchors that their page lacks."
    pages, problems = read_pages(site), []
    for path, page in pages.items():
        for target in set(page.links + page.loads):
            url = urlsplit(target)
            if url.scheme or url.netloc:
                continue
            goal, there = aim(path.parent, unquote(url.path)) if url.path else (path, True)
            if not there:
                problems.append(f'{path.relative_to(site)}: {target} leads nowhere')
            elif url.fragment and goal in pages and unquote(url.fragment) not in pages[goal].ids:
                problems.append(f'{path.relative_to(site)}: {target} has no such anchor')
    return sorted(problems)


def network_addresses(site):
    "Files that a page would load from the network."
    found = []
    for path, page in read_pages(site).items():
        loads = [t for t in page.loads if urlsplit(t).netloc]
        found += [f'{path.relative_to(site)} loads {t} from the network' for t in loads]
    for path in site.rglob('*.css'):
        text = path.read_text(encoding='utf-8', errors='replace')
        if '@import url(http' in text or 'url(http' in text.replace('"', '').replace("'", ''):
            found.append(f'{path.relative_to(site)} loads from the network')
    return found


def without_mark(site, own=('index', 'genindex', 'search')):
    "Pages that the tree beside them does not mark as the one that is read."
    names = {p: p.relative_to(site).with_suffix('').as_posix() for p in read_pages(site)}
    pages = [p for p, name in names.items() if name not in own and name[0] != '_']
    marked = 'current-page"><a class="current reference internal" href="#">'
    return [f'{p.relative_to(site)} is not marked in its tree' for p in pages if marked not in p.read_text()]


class Browser:
    "Headless Chromium, spoken to through its debugging protocol."
    def __init__(self, program, profile):
        import websocket
        flags = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-sync',
                 '--disable-background-networking', '--disable-component-update', '--remote-debugging-port=0',
                 '--remote-allow-origins=*', f'--user-data-dir={profile}', 'about:blank']
        self.process = subprocess.Popen([program, *flags], stderr=subprocess.PIPE, text=True)
        address = next(line.split()[-1] for line in self.process.stderr if 'DevTools listening' in line)
        self.socket = websocket.create_connection(address, timeout=60)
        self.number, self.events, self.session = 0, [], None
        target = self.ask('Target.createTarget', url='about:blank')['targetId']
        self.session = self.ask('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.ask(f'{domain}.enable')

    def ask(self, method, **params):
        "Send a command and wait for its answer; events that come before it are kept."
        self.number += 1
        message = dict(id=self.number, method=method, params=params)
        if self.session:
            message['sessionId'] = self.session
        self.socket.send(json.dumps(message))
        while True:
            got = json.loads(self.socket.recv())
            if got.get('id') == self.number:
                if 'error' in got:
                    raise RuntimeError(f"{method}: {got['error']['message']}")
                return got['result']
            self.events.append(got)

    def open(self, url, width, scheme='light'):
        "Open a page at a width and wait until it has loaded."
        self.events.clear()
        screen = dict(width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        self.ask('Emulation.setDeviceMetricsOverride', **screen)
        self.ask('Emulation.setEmulatedMedia', features=[dict(name='prefers-color-scheme', value=scheme)])
        self.ask('Page.navigate', url=url)
        end = time.time() + 60
        while self.value('document.readyState') != 'complete' or self.value('location.href') != url:
            if time.time() > end:
                raise RuntimeError(f'{url} did not load')
            time.sleep(.05)

    def value(self, expression):
        "The value of a JavaScript expression on the page."
        return self.ask('Runtime.evaluate', expression=expression, returnByValue=True)['result'].get('value')

    def complaints(self):
        "Errors on the console and addresses that were asked for, since the page was opened."
        said = []
        for event in self.events:
            params, method = event.get('params', {}), event.get('method')
            if method == 'Runtime.exceptionThrown':
                said.append('error on the console: ' + params['exceptionDetails']['text'])
            if method == 'Log.entryAdded' and params['entry']['level'] == 'error':
                said.append('error on the console: ' + params['entry']['text'])
            if method == 'Runtime.consoleAPICalled' and params['type'] == 'error':
                said.append('error on the console')
            if method == 'Network.requestWillBeSent' and params['request']['url'].startswith('http'):
                said.append('asks for ' + params['request']['url'])
        return said

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait(20)
        self.process.stderr.close()


OVERFLOW = 'document.documentElement.scrollWidth - document.documentElement.clientWidth'
COLOUR = 'getComputedStyle(document.body).backgroundColor'
RESULTS = 'document.querySelectorAll("#search-results li").length'


def check_page(browser, site, page, width):
    "What is wrong with one page at one width."
    browser.open((site/page).as_uri(), width)
    problems = browser.complaints()
    if (over := browser.value(OVERFLOW)) > 0:
        problems.append(f'is {over} pixels wider than the window')
    return [f'{page} at {width} pixels: {p}' for p in problems]


def check_search(browser, site):
    "The search must find something without a network."
    browser.open((site/'search.html').as_uri() + '?q=petastorm', 1280)
    end = time.time() + 20
    while not browser.value(RESULTS) and time.time() < end:
        time.sleep(.1)
    return [] if browser.value(RESULTS) else ["search.html finds nothing for 'petastorm'"]


def check_dark(browser, site):
    "A reader whose system is dark sees a dark page."
    bright = []
    for scheme in ('light', 'dark'):
        browser.open((site/'index.html').as_uri(), 1280, scheme)
        bright.append(sum(int(n) for n in re.findall(r'\d+', browser.value(COLOUR))[:3]))
    return [] if bright[1] < 300 < bright[0] else [f'light and dark pages have brightness {bright}']


def in_browser(site, pages=PAGES):
    "Open pages in headless Chromium; says so where it is not installed."
    program = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    if not program:
        print('SKIPPED: Chromium is not installed, the pages were not opened in a browser', file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, Path(profile))
        try:
            site, views = site.resolve(), [(page, width) for page in pages for width in WIDTHS]
            problems = [p for page, width in views for p in check_page(browser, site, page, width)]
            return problems + check_search(browser, site) + check_dark(browser, site)
        finally:
            browser.close()
