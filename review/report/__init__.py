"""The report: turns a losses table into one self-contained page of figures, charts and examples.

figures.py, confident.py and examples.py count, charts.py places marks, page.py renders page.html.
"""
