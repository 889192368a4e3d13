"""The report of a comparison: the verdict, and the evidence that a sceptical reader asks for.

* `evidence` reads the comparison's folder; no other module does.
* `accuracy`, `learning_speed`, `health` and `spending` compute numbers from the runs.
* `findings` collects these numbers in one document, report.json.
* `comparison_page` draws report.html, with `charts`, `dots` and the sample `theatre`; `tables`
  writes report.md and table.tex.
* `verify_report` computes everything again and names each difference.
"""
