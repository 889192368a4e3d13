"""The report of a comparison: the verdicts, and the numbers and files that support them.

* `evidence` reads the comparison's folder; no other module does.
* `accuracy`, `learning_speed`, `health` and `spending` compute numbers from the runs.
* `findings` collects these numbers in one document, report.json.
* `comparison_page` draws report.html. `charts`, `dots` and `theatre` (the arms' answers side by
  side) draw its parts. `tables` writes report.md and table.tex.
* `verify_report` computes everything again and names each difference.
"""
