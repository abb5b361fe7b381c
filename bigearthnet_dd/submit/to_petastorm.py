"""to-petastorm with the session of spark-submit.

usage: ben spark-submit [spark-submit's options] to-petastorm --meta URL --out URL ...
"""
import sys
from bigearthnet_dd.convert import to_petastorm

sys.exit(to_petastorm.cli())
