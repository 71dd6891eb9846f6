"""The report: a losses table comes in, one self-contained page of figures, charts and examples goes out.

figures.py, confident.py and examples.py count, charts.py places marks, page.py renders page.html.
"""
