"""The README's picture of the flow: what there is in boxes, the commands between them.

usage: draw_flow.py             draws nbs/images/flow.svg
       draw_flow.py --check     checks that the picture is the one that this script draws

Every text stands on a colour of the picture itself, and arrows are of a middle grey: it can be read on light
pages and on dark ones.
"""
import sys
from html import escape
from pathlib import Path

root = Path(__file__).resolve().parent.parent
PICTURE = root/'nbs'/'images'/'flow.svg'
WIDTH, HEIGHT = 880, 354
BOX, TALL = 196, 92                      # a box: width, height
LEFT, MIDDLE, RIGHT = 4, 342, 680        # where the boxes of a row begin
UPPER, BETWEEN, LOWER, BAND = 4, 121, 170, 288
PALE, DARK, BLUE, GREY = '#e6f0f4', '#10303c', '#1f6f8b', '#7d8b99'
SANS, MONO = 'Helvetica, Arial, sans-serif', 'Menlo, Consolas, monospace'
SIZE = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
HEAD = f'''<svg xmlns="http://www.w3.org/2000/svg" {SIZE}>
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 L10 5 L0 10 z" fill="{GREY}"/></marker></defs>'''


def text(x, y, words, size, colour, font=SANS, weight='normal'):
    "A line of text around x."
    look = f'font-family="{font}" font-size="{size}" font-weight="{weight}" fill="{colour}"'
    return f'<text x="{x}" y="{y}" text-anchor="middle" {look}>{escape(words)}</text>'


def rectangle(x, y, width, height, fill, border):
    "A box with round corners."
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="{border}"/>'


def box(x, y, title, *lines):
    "What there is: a title and at most two lines."
    centre = x + BOX/2
    parts = [rectangle(x, y, BOX, TALL, PALE, BLUE)]
    parts += [text(centre, y + 29, title, 17, DARK, weight='bold')]
    parts += [text(centre, y + 53 + 21*n, line, 14.5, DARK) for n, line in enumerate(lines)]
    return '\n'.join(parts)


def command(x, y, *names, width=112):
    "Commands on a line, one below the other around y."
    height = 8 + 19*len(names)
    parts = [rectangle(x - width/2, y - height/2, width, height, BLUE, BLUE)]
    parts += [text(x, y - height/2 + 18 + 19*n, name, 14, 'white', MONO) for n, name in enumerate(names)]
    return '\n'.join(parts)


def arrow(*points):
    "A line through points that ends with a tip."
    path = ' '.join(f'{x},{y}' for x, y in points)
    look = f'fill="none" stroke="{GREY}" stroke-width="2.5" marker-end="url(#tip)"'
    return f'<polyline points="{path}" {look}/>'


def across(row, start, *names):
    "An arrow from the box that begins at `start` to the next one, with commands on it."
    y, here = row + TALL/2, start + BOX
    there = here + MIDDLE - LEFT - BOX
    return '\n'.join([arrow((here, y), (there - 2, y)), command((here + there)/2 - 3, y, *names)])


def down():
    "From the end of the upper row to the beginning of the lower one."
    last, first = RIGHT + BOX/2, LEFT + BOX/2
    way = arrow((last, UPPER + TALL), (last, BETWEEN + 12), (first, BETWEEN + 12), (first, LOWER - 2))
    name = 'to-petastorm: Spark, here or on a cluster'
    return '\n'.join([way, command(WIDTH/2, BETWEEN + 12, name, width=372)])


def band():
    "What repeats the flow and keeps the record."
    lines = ('run-conversion, run-training: the same for shares of the data, executors, GPUs and seeds',
             'run-report: one HTML page of it; executed notebooks and profiles are the record')
    parts = [rectangle(LEFT, BAND, WIDTH - 2*LEFT, 60, PALE, GREY)]
    parts += [text(WIDTH/2, BAND + 25 + 22*n, line, 14.5, DARK) for n, line in enumerate(lines)]
    return '\n'.join(parts)


def picture():
    "The picture as SVG."
    return '\n'.join([
        HEAD,
        across(UPPER, LEFT, 'pack-archive'),
        across(UPPER, MIDDLE, 'gen-metadata', 'check-s3'),
        down(),
        across(LOWER, LEFT, 'train-model'),
        across(LOWER, MIDDLE, 'predict'),
        box(LEFT, UPPER, 'Published files', 'three .tar.zst, 118 GB,', 'and metadata.parquet'),
        box(MIDDLE, UPPER, 'Archive', 'packed: a frame a patch,', 'or folders of GeoTIFFs'),
        box(RIGHT, UPPER, 'Table with paths', 'where every file is, and', 'that it is what it should be'),
        box(LEFT, LOWER, 'Store', 'train, validation, test:', 'Parquet, a column a band'),
        box(MIDDLE, LOWER, 'Model', 'best.keras, scores,', 'pictures, a card'),
        box(RIGHT, LOWER, 'Maps or classes', 'GeoTIFFs, mosaics,', 'or a table of labels'),
        band(),
        '</svg>', ''])


def main(args):
    if '--check' not in args:
        PICTURE.write_text(picture(), encoding='utf-8')
    elif not PICTURE.exists() or PICTURE.read_text(encoding='utf-8') != picture():
        return 'the picture of the flow is out of date: run scripts/draw_flow.py and commit'


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
