"""The README's picture of the data: two simulated patches, in all that a patch holds.

usage: draw_patches.py          draws nbs/images/patches.png
"""
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
PICTURE = root/'nbs'/'images'/'patches.png'
TITLE = 'Two simulated patches of 1.2 km: what the two satellites see, and the CORINE map to learn'
SCENES = {               # title -> what `simulate_patch` makes
    'Belgium, June': dict(seed=3, month=6, codes=[112, 211, 231, 311, 512]),
    'Ireland, June': dict(seed=103, month=6, codes=[523, 331, 231, 112, 412])}


def draw_row(axes, name, patch, first):
    "One patch; only the first row says what the columns show."
    from bigearthnet_dd.patches import show_patch
    show_patch(patch, axes=axes)
    axes[0].set_ylabel(name, fontsize=11)
    for ax in axes[:4]:
        ax.set_title(ax.get_title() if first else '', fontsize=11)
    for letters in axes[4].get_legend().get_texts():
        letters.set_fontsize(9)


def main():
    "Draw the picture."
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    from bigearthnet_dd.simulate import simulate_patch
    fig, rows = plt.subplots(2, 5, figsize=(11, 4.4), width_ratios=(1, 1, 1, 1, 1.35), layout='constrained')
    for place, (name, how) in enumerate(SCENES.items()):
        draw_row(rows[place], name, simulate_patch(**how), first=place == 0)
    fig.suptitle(TITLE, fontsize=12)
    fig.savefig(PICTURE, dpi=80, metadata=dict(Software=None))
    plt.close(fig)


if __name__ == '__main__':
    sys.exit(main())
