"""The report of a run: one self-contained page, report.html, made from the run's folder alone.

* `run_page` is the entry point and writes the page; `html` fills the template.
* `runfiles` reads the folder.
* `text` makes model output safe to show.
* `panels` chooses the charts; `axis` and `curves` draw them.
* `results` summarises the evaluations, `setup` the settings and the cost; `gallery` shows rollouts.

Only `runfiles` and the picture functions of `gallery` read files. All other modules are pure.
"""
