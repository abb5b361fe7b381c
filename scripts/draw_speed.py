"""The README's picture of speed, drawn from the committed record of the benchmark.

usage: draw_speed.py            draws nbs/images/speed.png from experiments/benchmark/benchmark.ipynb
"""
import json
import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
RECORD = root/'experiments'/'benchmark'/'benchmark.ipynb'
GREY, BLUE = '#8d99ae', '#1f6f8b'
CONVERSION = {       # name in the record -> name in the picture
    'reference, 6 bands': 'reference way,\n6 bands',
    'ours, 6 bands': 'ours,\n6 bands',
    'ours, all 14 bands': 'ours,\n14 bands'}
LOADING = {
    'generator': "petastorm's reader\nand a generator",
    'TFRecord': 'TFRecord',
    'ours': 'ours'}


def record_tables():
    "The printed tables of the record."
    cells = json.loads(RECORD.read_text())['cells']
    outputs = [output for cell in cells for output in cell.get('outputs', [])]
    return [''.join(output['data']['text/plain']) for output in outputs if 'data' in output]


def spread(name):
    "(min, median, max) of a way, from the first table that has these columns."
    for table in record_tables():
        header = table.splitlines()[0].split()
        row = re.search(rf'^{re.escape(name)} +\d+ +([\d.]+) +([\d.]+) +([\d.]+)', table, re.M)
        if header[:4] == ['n', 'min', 'median', 'max'] and row:
            return tuple(map(float, row.groups()))
    raise SystemExit(f'draw_speed: {RECORD} has no rates of "{name}"')


def draw_panel(ax, title, ways):
    "Medians as bars with their range; all but ours are grey."
    for place, name in enumerate(ways):
        low, median, high = spread(name)
        colour = BLUE if name.startswith('ours') else GREY
        ax.barh(place, median, .62, color=colour)
        ax.plot([low, high], [place, place], color='0.15', lw=1.2, marker='|', ms=7)
        ax.text(high, place, f'  {median:,.0f}', va='center', fontsize=10)
    ax.set_yticks(range(len(ways)), list(ways.values()), fontsize=10)
    ax.set_title(title, fontsize=11)
    ax.set_xlim(0, 1.22*ax.dataLim.x1)
    ax.invert_yaxis()
    ax.spines[['top', 'right']].set_visible(False)
    ax.tick_params(axis='x', labelsize=9)


def main():
    "Draw the picture."
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 2.5), layout='constrained')
    draw_panel(left, 'Conversion (patches/s)', CONVERSION)
    draw_panel(right, 'Loading, 6 bands (images/s)', LOADING)
    fig.savefig(root/'nbs'/'images'/'speed.png', dpi=100, metadata=dict(Software=None))
    plt.close(fig)


if __name__ == '__main__':
    sys.exit(main())
