"""A local web page over runs and comparisons, while they train and afterwards: `view`.

* `view_verb` starts the server, and finds a free port.
* `app` answers requests. It only reads, and serves only what `library` found.
* `library` finds runs and comparisons below the given folders.
* `follow` reads streams that still grow; `glance` reads a few rows of a long stream.
* `run_views` and `comparison_views` prepare pages; `rollout_search` filters rollouts.
* `figures` gives a chart as SVG, PNG or CSV. `report.curves` draws it, as in the offline reports.

Run folders may come from anybody: files are opened by `untrusted`, and every text is escaped.
"""
