"""to-petastorm with the session of spark-submit, from a checkout: the package's own `submit/to_petastorm.py`.

usage: spark-submit ... scripts/to_petastorm.py --meta URL --out URL ...
"""
import bigearthnet_dd.submit.to_petastorm  # noqa: F401  runs the command
