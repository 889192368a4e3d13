"""What a comparison's folder says: the verdict, and all that a sceptic wants to see beside it.

`evidence` reads the folder, nothing else does. `accuracy`, `learning_speed`, `health`, `spending`
turn runs into plain numbers, which `findings` puts together: that is report.json. `comparison_page`
draws report.html from it with `charts`, `dots` and the sample `theatre`, `tables` report.md and
table.tex, and `verify_report` makes all of it again and names what is not as it was.
"""
