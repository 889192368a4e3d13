#!/usr/bin/env bash
# Build the documentation site into build/site/html; fail on a warning, a dead link or an outside request.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/bootstrap.sh"
bootstrap docs
cd "$ROOT"
# MkDocs-Material prints a note about its end of life in 2027 at every build.
export NO_MKDOCS_2_WARNING=1
"$PYTHON" scripts/docs_site.py source
"$PYTHON" -m mkdocs build --strict --config-file build/site/mkdocs.yml
"$PYTHON" scripts/docs_site.py check
echo "open build/site/html/index.html; its search needs a server: $PYTHON -m http.server -d build/site/html"
