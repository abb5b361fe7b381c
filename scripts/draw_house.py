"""The house of notebooks: a room for each module, arrows from what is imported to who imports it.

usage: draw_house.py            draws nbs/images/house.png
       draw_house.py --check    checks that each module has a number of its own, that it imports only smaller
                                numbers, and that the picture shows the house as it is
"""
import ast
import json
import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
LIB = 'bigearthnet_dd'
CHAPTERS = {            # first number -> name, colour
    0: ('foundations', '#8d99ae'),
    10: ('the archive', '#3a7d44'),
    21: ('the record', '#8a6d3b'),
    24: ('store and\nconversion', '#1f6f8b'),
    31: ('loading', '#3366aa'),
    41: ('network and\ntraining', '#7b4b94'),
    59: ('experiments\nand report', '#b5493a'),
    71: ('benchmark', '#c07f1d'),
    76: ('command line', '#555555'),
}


def exported_code(path):
    "(module, code) of a notebook, from its `#| default_exp` and `#| export` cells; (None, '') for others."
    cells = [''.join(c['source']) for c in json.loads(path.read_text())['cells'] if c['cell_type'] == 'code']
    names = re.findall(r'^#\|\s*default_exp (\w+)', '\n'.join(cells), re.M)
    code = [c for c in cells if re.search(r'^#\|\s*export', c, re.M)]
    return (names[0], '\n'.join(code)) if names else (None, '')


def imported_modules(code):
    "Names of the library's modules that some code imports, in functions too."
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {a.name.split('.')[1] for a in node.names if a.name.startswith(f'{LIB}.')}
        elif isinstance(node, ast.ImportFrom) and node.module == LIB:
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or '').startswith(f'{LIB}.'):
            found.add(node.module.split('.')[1])
    return found


def read_house():
    "dict: module -> (number, set of modules that it imports)."
    house = {}
    for path in sorted((root/'nbs').glob('[0-9][0-9]_*.ipynb')):
        module, code = exported_code(path)
        if module:
            house[module] = int(path.name[:2]), imported_modules(code) - {module}
    return {m: (n, used & set(house)) for m, (n, used) in house.items()}


def problems(house):
    "Sentences about numbers that are used twice and imports that go against the order."
    number = {m: n for m, (n, _) in house.items()}
    said, seen = [], {}
    for module, n in number.items():
        if n in seen:
            said.append(f'{seen[n]} and {module} have the same number, {n:02}')
        seen[n] = module
    for module, (n, used) in house.items():
        said += [f'{n:02}_{module} imports {number[u]:02}_{u}: a module imports only from smaller numbers'
                 for u in sorted(used) if number[u] > n]
    return said


def direct_imports(house):
    "(imported, importing) without those that follow from others, so that a picture can be read."
    below = {}          # module -> everything that it needs
    for module, (_, used) in sorted(house.items(), key=lambda item: item[1][0]):
        below[module] = set(used).union(*(below.get(u, set()) for u in used))
    return [(u, m) for m, (_, used) in house.items() for u in used
            if not any(u in below[other] for other in used - {u})]


# --- the picture: floors from the foundations up, rooms from left to right

PICTURE = root/'nbs'/'images'/'house.png'
WIDTH, FLOOR, ROOM, LEFT, RIGHT = 900, 76, 36, 108, 12      # pixels


def floors_of(house):
    "Chapters that have rooms, from the ground up: list of (name, colour, modules)."
    starts = [*CHAPTERS, 1000]
    floors = []
    for first, after in zip(starts, starts[1:]):
        modules = [m for m, (n, _) in house.items() if first <= n < after]
        if modules:
            floors.append((*CHAPTERS[first], modules))
    return floors


def places_of(floors):
    "module -> (centre x, centre y, width, colour, floor), in pixels from the lower left corner."
    places = {}
    for i, (_, colour, modules) in enumerate(floors):
        each = (WIDTH - LEFT - RIGHT)/max(len(modules), 6)
        start = LEFT + (WIDTH - LEFT - RIGHT - each*len(modules))/2
        for k, module in enumerate(modules):
            places[module] = start + each*(k + .5), FLOOR*(i + .5) + 24, each - 12, colour, i
    return places


def curve(start, end):
    "Four points from one room to another; on one floor from side to side, or over the rooms between."
    (x, y, w, _, floor), (x2, y2, w2, _, floor2) = start, end
    half = ROOM/2
    if floor != floor2:
        bend = .5*(y2 - y - ROOM)
        return [(x, y + half), (x, y + half + bend), (x2, y2 - half - bend), (x2, y2 - half)]
    if x2 - x < 1.6*(w + 12):
        return [(x + w/2, y), (x + w/2 + 4, y), (x2 - w2/2 - 4, y), (x2 - w2/2, y)]
    return [(x, y + half), (x + 20, y + half + 22), (x2 - 20, y2 + half + 22), (x2, y2 + half)]


def draw_arrow(ax, start, end):
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve
    path = Curve(curve(start, end), [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])
    style = '-|>,head_width=2,head_length=4'
    ax.add_patch(FancyArrowPatch(path=path, arrowstyle=style, color=start[3], lw=1, alpha=.75, zorder=2,
                                 shrinkA=0, shrinkB=0))


def draw_room(ax, number, module, place):
    from matplotlib.patches import FancyBboxPatch
    x, y, w, colour, _ = place
    ax.add_patch(FancyBboxPatch((x - w/2, y - ROOM/2), w, ROOM, boxstyle='round,pad=0,rounding_size=5',
                                facecolor='white', edgecolor=colour, lw=1.4, zorder=3))
    ax.text(x, y + 8, f'{number:02}', fontsize=6.5, color=colour, ha='center', va='center', zorder=4)
    letters = .6*100/72*len(module)         # width of the name in pixels, for each point of its size
    size = min(7.5, (w - 6)/letters)
    ax.text(x, y - 6, module, fontsize=size, color='#222222', ha='center', va='center', zorder=4)


def draw_floor(ax, i, name, colour):
    from matplotlib.patches import Rectangle
    ax.add_patch(Rectangle((6, FLOOR*i + 26), WIDTH - 12, FLOOR - 4, facecolor=colour, alpha=.09, zorder=1))
    ax.text(14, FLOOR*(i + .5) + 24, name, fontsize=8.5, color=colour, weight='bold', va='center', zorder=4)


def description(house):
    "What the picture shows, in words; it is kept in the file, so that a stale picture is found."
    rooms = ' '.join(f'{n:02}_{m}' for m, (n, _) in house.items())
    return f"{rooms}; {' '.join(sorted(f'{u}>{m}' for u, m in direct_imports(house)))}"


def is_stale(house):
    from PIL import Image
    return not PICTURE.exists() or Image.open(PICTURE).text.get('Description') != description(house)


def draw(house):
    "The whole picture, in twice the pixels that it is shown with."
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    floors = floors_of(house)
    places, height = places_of(floors), FLOOR*len(floors) + 30
    fig = plt.figure(figsize=(WIDTH/100, height/100), facecolor='white')
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))
    ax.axis('off')
    for i, (name, colour, _) in enumerate(floors):
        draw_floor(ax, i, name, colour)
    for used, module in direct_imports(house):
        draw_arrow(ax, places[used], places[module])
    for module, (number, _) in house.items():
        draw_room(ax, number, module, places[module])
    note = ('From the ground up: an arrow leads from a module to one that imports it. '
            'Imports that follow from others are left out.')
    ax.text(14, 12, note, fontsize=7.5, color='#444444', va='center')
    words = {'Description': description(house)}
    fig.savefig(PICTURE, dpi=180, metadata=words, pil_kwargs=dict(optimize=True))


def main(args):
    house = read_house()
    said = problems(house)
    if '--check' in args:
        if not said and is_stale(house):
            said = [f'{PICTURE.relative_to(root)} is out of date: run scripts/draw_house.py and commit']
        return '\n'.join(said) or 0
    draw(house)
    print(f'{PICTURE.relative_to(root)}: {len(house)} rooms', *said, sep='\n')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
