"""to-petastorm with the session of spark-submit.

usage: spark-submit ... scripts/to_petastorm.py --meta URL --out URL ...
"""
import sys
from bigearthnet_dd.convert import to_petastorm

sys.exit(to_petastorm.cli())
